from pathlib import Path

from django.db import migrations, models
from django.db.models import F, Q

from audit.sql_migration import run_sql_file

SQL = Path(__file__).parent.parent / "sql"


class Migration(migrations.Migration):
    dependencies = [("remediation", "0011_trail_of_a_case")]

    operations = [
        migrations.RemoveConstraint(model_name="planchunk", name="planchunk_scanned_whole"),
        migrations.AddField(
            model_name="caserevision",
            name="exclusions",
            field=models.JSONField(
                default=dict, db_default={}, help_text="What is left out by cause, store or size."
            ),
        ),
        migrations.AddField(
            model_name="planchunk",
            name="left_out",
            field=models.PositiveIntegerField(
                default=0,
                db_default=0,
                help_text="Rows that would be corrected, and are left out by the case's exclusions.",
            ),
        ),
        migrations.AddField(
            model_name="planchunk",
            name="left_out_sums",
            field=models.JSONField(default=dict, db_default={}),
        ),
        migrations.AlterField(
            model_name="outcome",
            name="kind",
            field=models.CharField(
                choices=[
                    ("conflict", "conflict"),
                    ("failed", "failed"),
                    ("differs", "differs"),
                    ("excluded", "left out"),
                ],
                max_length=16,
            ),
        ),
        migrations.AddConstraint(
            model_name="planchunk",
            constraint=models.CheckConstraint(
                condition=Q(scanned_at__isnull=True, root__isnull=True)
                | Q(
                    scanned_at__isnull=False,
                    root__isnull=False,
                    leaves_digest__isnull=False,
                    money__isnull=False,
                    causes__isnull=False,
                    scanned=F("unchanged")
                    + F("proposed")
                    + F("failed")
                    + F("moved_since")
                    + F("left_out"),
                ),
                name="planchunk_scanned_whole",
            ),
        ),
        run_sql_file(SQL / "0012_exclusions.sql"),
    ]
