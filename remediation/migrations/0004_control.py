from pathlib import Path

from django.conf import settings
from django.db import migrations, models

from audit.sql_migration import run_sql_file

SQL = Path(__file__).parent.parent / "sql"


class Migration(migrations.Migration):
    dependencies = [
        ("remediation", "0003_leaf_format"),
        ("transactions", "0005_rollups"),
        migrations.swappable_dependency(settings.AUTH_USER_MODEL),
    ]

    operations = [
        migrations.AlterModelOptions(
            name="job",
            options={
                "ordering": ["-id"],
                "permissions": [
                    ("verify_case", "Can verify cases"),
                    ("control_job", "Can pause, resume, cancel and tune jobs"),
                ],
            },
        ),
        migrations.RemoveConstraint(
            model_name="job",
            name="job_one_verify_at_a_time",
        ),
        migrations.RemoveIndex(
            model_name="jobchunk",
            name="jobchunk_unfinished",
        ),
        migrations.AddField(
            model_name="job",
            name="chunk_rows",
            field=models.PositiveIntegerField(
                blank=True, help_text="Rows moved at once, at most.", null=True
            ),
        ),
        migrations.AddField(
            model_name="job",
            name="not_before",
            field=models.DateTimeField(
                blank=True, help_text="The rate's next chunk, by the database's clock.", null=True
            ),
        ),
        migrations.AddField(
            model_name="job",
            name="pause_milliseconds",
            field=models.PositiveIntegerField(
                blank=True, help_text="A worker's rest after each chunk.", null=True
            ),
        ),
        migrations.AddField(
            model_name="job",
            name="pause_reason",
            field=models.TextField(
                blank=True,
                db_default="",
                default="",
                help_text="Why it is paused: a person's reason, or a gate's.",
            ),
        ),
        migrations.AddField(
            model_name="job",
            name="rows_per_second",
            field=models.PositiveIntegerField(
                blank=True, help_text="All workers together, at most.", null=True
            ),
        ),
        migrations.AddField(
            model_name="job",
            name="stage",
            field=models.PositiveSmallIntegerField(
                db_default=0, default=0, help_text="The stage that is worked on, from 0."
            ),
        ),
        migrations.AddField(
            model_name="job",
            name="stages",
            field=models.JSONField(
                blank=True,
                db_default=models.Value([], models.JSONField()),
                default=list,
                help_text="Rows moved by the end of each stage; one stage where empty.",
            ),
        ),
        migrations.AddField(
            model_name="job",
            name="throttle",
            field=models.TextField(
                blank=True,
                db_default="",
                default="",
                help_text="What the job does more slowly by itself, and why.",
            ),
        ),
        migrations.AddField(
            model_name="job",
            name="held_at_stage",
            field=models.PositiveSmallIntegerField(
                blank=True, help_text="The stage whose gate holds it, until somebody decides.", null=True
            ),
        ),
        migrations.AddField(
            model_name="job",
            name="workers",
            field=models.PositiveSmallIntegerField(
                blank=True, help_text="Chunks in hand at a time, at most.", null=True
            ),
        ),
        migrations.AddField(
            model_name="jobchunk",
            name="stage",
            field=models.PositiveSmallIntegerField(db_default=0, default=0),
        ),
        migrations.AlterField(
            model_name="job",
            name="failure",
            field=models.TextField(
                blank=True, help_text="Why a failed job failed, or who cancelled it and why."
            ),
        ),
        migrations.AlterField(
            model_name="job",
            name="status",
            field=models.CharField(
                choices=[
                    ("running", "running"),
                    ("pausing", "pausing"),
                    ("paused", "paused"),
                    ("cancelling", "cancelling"),
                    ("cancelled", "cancelled"),
                    ("finished", "finished"),
                    ("failed", "failed"),
                ],
                default="running",
                max_length=16,
            ),
        ),
        migrations.AlterField(
            model_name="jobchunk",
            name="status",
            field=models.CharField(
                choices=[
                    ("waiting", "waiting"),
                    ("leased", "leased"),
                    ("done", "done"),
                    ("refused", "refused"),
                    ("quarantined", "quarantined"),
                ],
                default="waiting",
                max_length=16,
            ),
        ),
        migrations.AddIndex(
            model_name="jobchunk",
            index=models.Index(
                condition=models.Q(("status__in", ["waiting", "leased"])),
                fields=["job", "stage", "position"],
                name="jobchunk_unfinished",
            ),
        ),
        migrations.AddConstraint(
            model_name="job",
            constraint=models.UniqueConstraint(
                condition=models.Q(
                    ("kind", "verify"), ("status__in", ["running", "pausing", "paused", "cancelling"])
                ),
                fields=("case",),
                name="job_one_verify_at_a_time",
            ),
        ),
        migrations.AddConstraint(
            model_name="job",
            constraint=models.CheckConstraint(
                condition=models.Q(("workers__isnull", True), ("workers__gte", 1), _connector="OR"),
                name="job_workers_at_least_one",
            ),
        ),
        migrations.AddConstraint(
            model_name="job",
            constraint=models.CheckConstraint(
                condition=models.Q(("chunk_rows__isnull", True), ("chunk_rows__gte", 1), _connector="OR"),
                name="job_chunk_rows_at_least_one",
            ),
        ),
        migrations.AddConstraint(
            model_name="job",
            constraint=models.CheckConstraint(
                condition=models.Q(
                    ("rows_per_second__isnull", True), ("rows_per_second__gte", 1), _connector="OR"
                ),
                name="job_rate_at_least_one",
            ),
        ),
        run_sql_file(SQL / "0004_control.sql"),
    ]
