import django.db.models.deletion
import django.db.models.functions.datetime
import uuid
from pathlib import Path
from django.db import migrations, models

from audit.sql_migration import run_sql_file

SQL = Path(__file__).parent.parent / "sql"


class Migration(migrations.Migration):

    dependencies = [
        ('audit', "0003_reading_in_time"),
    ]

    operations = [
        migrations.CreateModel(
            name='AuditKey',
            fields=[
                ('key_id', models.CharField(help_text='Begin of its SHA-256, hexadecimal.', max_length=16, primary_key=True, serialize=False)),
                ('public_key', models.BinaryField(max_length=32)),
                ('introduced_at', models.DateTimeField(db_default=django.db.models.functions.datetime.Now())),
            ],
            options={
                'verbose_name': 'signing key',
            },
        ),
        migrations.CreateModel(
            name='SealQueue',
            fields=[
                ('entry', models.OneToOneField(db_constraint=False, on_delete=django.db.models.deletion.DO_NOTHING, primary_key=True, related_name='waiting', serialize=False, to='audit.auditentry')),
            ],
            options={
                'verbose_name': 'entry waiting for its seal',
                'verbose_name_plural': 'entries waiting for their seals',
            },
        ),
        migrations.CreateModel(
            name='Checkpoint',
            fields=[
                ('number', models.BigIntegerField(primary_key=True, serialize=False)),
                ('sequence', models.BigIntegerField(help_text='The last seal that it covers; 0 before the first.')),
                ('chain', models.BinaryField(max_length=32)),
                ('signed_at', models.DateTimeField()),
                ('text', models.TextField(help_text='The whole checkpoint, its signature included.')),
                ('key', models.ForeignKey(on_delete=django.db.models.deletion.DO_NOTHING, related_name='checkpoints', to='audit.auditkey')),
            ],
            options={
                'ordering': ['-number'],
            },
        ),
        migrations.CreateModel(
            name='CheckpointPublication',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('place', models.CharField(max_length=500)),
                ('at', models.DateTimeField(db_default=django.db.models.functions.datetime.Now())),
                ('failure', models.TextField(blank=True)),
                ('checkpoint', models.ForeignKey(on_delete=django.db.models.deletion.DO_NOTHING, related_name='publications', to='audit.checkpoint')),
            ],
            options={
                'ordering': ['-id'],
            },
        ),
        migrations.CreateModel(
            name='Trail',
            fields=[
                ('id', models.PositiveSmallIntegerField(default=1, primary_key=True, serialize=False)),
                ('uuid', models.UUIDField(default=uuid.uuid4, unique=True)),
                ('begun_at', models.DateTimeField(db_default=django.db.models.functions.datetime.Now())),
            ],
            options={
                'constraints': [models.CheckConstraint(condition=models.Q(('id', 1)), name='trail_only_one')],
            },
        ),
        migrations.CreateModel(
            name='AuditSeal',
            fields=[
                ('sequence', models.BigIntegerField(primary_key=True, serialize=False)),
                ('entry_hash', models.BinaryField(max_length=32)),
                ('chain', models.BinaryField(max_length=32)),
                ('sealed_at', models.DateTimeField(help_text="The database's clock, UTC. Covered by the chain.")),
                ('entry', models.OneToOneField(db_constraint=False, on_delete=django.db.models.deletion.DO_NOTHING, related_name='seal', to='audit.auditentry')),
            ],
            options={
                'ordering': ['-sequence'],
                'constraints': [models.CheckConstraint(condition=models.Q(('sequence__gte', 1)), name='auditseal_sequence_from_one')],
            },
        ),
        migrations.AddIndex(
            model_name='checkpoint',
            index=models.Index(fields=['sequence'], name='checkpoint_sequence'),
        ),
        migrations.AddIndex(
            model_name='checkpointpublication',
            index=models.Index(fields=['place', '-id'], name='publication_place'),
        ),
        run_sql_file(SQL / "0004_seal.sql"),
    ]
