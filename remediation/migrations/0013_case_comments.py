from pathlib import Path

import django.contrib.postgres.functions
from django.conf import settings
from django.db import migrations, models
from django.db.models import Q

from audit.sql_migration import run_sql_file

SQL = Path(__file__).parent.parent / "sql"


class Migration(migrations.Migration):
    dependencies = [
        ("remediation", "0012_exclusions"),
        migrations.swappable_dependency(settings.AUTH_USER_MODEL),
    ]

    operations = [
        migrations.CreateModel(
            name="CaseComment",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("text", models.TextField()),
                ("written_at", models.DateTimeField(db_default=django.contrib.postgres.functions.TransactionNow())),
                (
                    "case",
                    models.ForeignKey(on_delete=models.PROTECT, related_name="comments", to="remediation.case"),
                ),
                (
                    "written_by",
                    models.ForeignKey(on_delete=models.PROTECT, related_name="+", to=settings.AUTH_USER_MODEL),
                ),
            ],
            options={
                "ordering": ["id"],
                "permissions": [("comment_on_case", "Can comment on cases")],
                "constraints": [
                    models.CheckConstraint(condition=~Q(text=""), name="casecomment_says_something"),
                ],
            },
        ),
        run_sql_file(SQL / "0013_case_comments.sql"),
    ]
