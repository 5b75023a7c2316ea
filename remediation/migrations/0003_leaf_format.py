from pathlib import Path

from django.db import migrations, models

from audit.sql_migration import run_sql_file

SQL = Path(__file__).parent.parent / "sql"


class Migration(migrations.Migration):
    dependencies = [("remediation", "0002_guards"), ("transactions", "0004_leaf")]
    operations = [
        # The chunks that are there were scanned in format 1; all that come are scanned in format 2.
        migrations.AddField("planchunk", "leaf_format", models.PositiveSmallIntegerField(db_default=1)),
        migrations.AlterField(
            "planchunk",
            "leaf_format",
            models.PositiveSmallIntegerField(
                db_default=2, help_text="How the leaves are made: amends_chunk_moves knows each format."
            ),
        ),
        run_sql_file(SQL / "0003_leaf_format.sql"),
    ]
