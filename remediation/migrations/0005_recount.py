from django.db import migrations


class Migration(migrations.Migration):
    """What was applied after counting began, by the function that did not count yet, is counted here."""

    dependencies = [("remediation", "0004_control"), ("transactions", "0006_count_by_key")]
    operations = [migrations.RunSQL("SELECT amends_rebuild_counts()", migrations.RunSQL.noop)]
