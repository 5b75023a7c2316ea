from pathlib import Path

from django.db import migrations, models
from django.db.models import Q

from audit.sql_migration import run_sql_file

SQL = Path(__file__).parent.parent / "sql"


class Migration(migrations.Migration):
    dependencies = [("remediation", "0007_custom_plans")]

    operations = [
        migrations.AddField(
            model_name="plan",
            name="retries",
            field=models.ForeignKey(
                "remediation.plan",
                null=True,
                blank=True,
                on_delete=models.PROTECT,
                related_name="retried_by",
                help_text="The plan whose failed and conflicting rows alone it tries again.",
            ),
        ),
        migrations.AddConstraint(
            model_name="plan",
            constraint=models.CheckConstraint(
                condition=Q(retries__isnull=True) | Q(kind="apply"), name="plan_retry_is_an_apply"
            ),
        ),
        migrations.RemoveConstraint(model_name="planchunk", name="planchunk_source_unique"),
        migrations.AddConstraint(
            model_name="planchunk",
            constraint=models.UniqueConstraint(
                fields=["plan", "source_chunk", "release"],
                condition=Q(source_chunk__isnull=False),
                nulls_distinct=False,
                name="planchunk_source_unique",
            ),
        ),
        migrations.AlterField(
            model_name="planchunk",
            name="moved_since",
            field=models.PositiveIntegerField(
                null=True, help_text="Rows a revert or a retry leaves alone: they stand elsewhere now."
            ),
        ),
        run_sql_file(SQL / "0008_retry.sql"),
    ]
