from pathlib import Path

from django.db import migrations, models

from audit.sql_migration import run_sql_file

SQL = Path(__file__).parent.parent / "sql"


class Migration(migrations.Migration):

    dependencies = [
        ('remediation', '0005_recount'),
    ]

    operations = [
        migrations.AddField(
            model_name='jobchunk',
            name='first_transaction',
            field=models.BigIntegerField(help_text='The lowest transaction that it moved, once done.', null=True),
        ),
        migrations.AddField(
            model_name='jobchunk',
            name='last_transaction',
            field=models.BigIntegerField(help_text='The highest.', null=True),
        ),
        migrations.AddField(
            model_name='jobchunk',
            name='lost',
            field=models.PositiveSmallIntegerField(db_default=0, default=0, help_text='Attempts among them whose worker was lost.'),
        ),
        migrations.AddIndex(
            model_name='jobchunk',
            index=models.Index(condition=models.Q(('status', 'done')), fields=['job', 'finished_at'], name='jobchunk_last_done'),
        ),
        migrations.AddIndex(
            model_name='jobchunk',
            index=models.Index(condition=models.Q(('status', 'done')), fields=['plan_chunk', 'last_transaction'], name='jobchunk_moved'),
        ),
        run_sql_file(SQL / "0006_moved_ranges.sql"),
    ]
