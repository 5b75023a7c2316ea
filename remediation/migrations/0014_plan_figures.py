from pathlib import Path

from django.db import migrations, models

from audit.sql_migration import run_sql_file

SQL = Path(__file__).parent.parent / "sql"


class Migration(migrations.Migration):
    dependencies = [("remediation", "0013_case_comments")]

    operations = [
        migrations.CreateModel(
            name="PlanChunkFigures",
            fields=[
                (
                    "plan_chunk",
                    models.OneToOneField(
                        on_delete=models.PROTECT,
                        primary_key=True,
                        related_name="figures",
                        serialize=False,
                        to="remediation.planchunk",
                    ),
                ),
                ("spread", models.JSONField()),
                ("stores", models.JSONField()),
            ],
            options={"verbose_name_plural": "plan chunk figures"},
        ),
        run_sql_file(SQL / "0014_plan_figures.sql"),
    ]
