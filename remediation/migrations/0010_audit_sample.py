import django.contrib.postgres.functions
import django.db.models.deletion
from decimal import Decimal
from pathlib import Path
from django.conf import settings
from django.db import migrations, models

from audit.sql_migration import run_sql_file

SQL = Path(__file__).parent.parent / "sql"


class Migration(migrations.Migration):

    dependencies = [
        ('remediation', '0009_conflicts_covered'),
        ('transactions', '0007_ingest_leaves'),
        migrations.swappable_dependency(settings.AUTH_USER_MODEL),
    ]

    operations = [
        migrations.CreateModel(
            name='AuditSample',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('confidence', models.DecimalField(decimal_places=4, max_digits=6)),
                ('tolerable_rate', models.DecimalField(decimal_places=8, max_digits=9)),
                ('expected_rate', models.DecimalField(decimal_places=8, max_digits=9)),
                ('population', models.BigIntegerField(help_text='Corrections that the job applied.')),
                ('size', models.PositiveIntegerField()),
                ('allowed_errors', models.PositiveIntegerField()),
                ('seed', models.CharField(max_length=200)),
                ('seed_chosen', models.BooleanField(help_text='By the auditor; else it was drawn by the machine.')),
                ('draw_format', models.PositiveSmallIntegerField(db_default=1, default=1)),
                ('plan_digest', models.BinaryField(help_text='The digest of the plan that was applied.', max_length=32)),
                ('drawn_at', models.DateTimeField(db_default=django.contrib.postgres.functions.TransactionNow())),
                ('drawn_by', models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, related_name='+', to=settings.AUTH_USER_MODEL)),
                ('job', models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, related_name='audit_samples', to='remediation.job')),
            ],
            options={
                'ordering': ['-id'],
                'permissions': [('audit_sample', 'Can draw audit samples and judge what is drawn')],
            },
        ),
        migrations.CreateModel(
            name='AuditSampleItem',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('number', models.PositiveIntegerField(help_text='From 1, in the order of drawing.')),
                ('position', models.BigIntegerField()),
                ('leaf_number', models.PositiveIntegerField()),
                ('leaf', models.BinaryField(max_length=32)),
                ('calculation', models.ForeignKey(db_constraint=False, db_index=False, on_delete=django.db.models.deletion.DO_NOTHING, related_name='+', to='transactions.calculation')),
                ('job_chunk', models.ForeignKey(db_index=False, on_delete=django.db.models.deletion.PROTECT, related_name='+', to='remediation.jobchunk')),
                ('replaces', models.ForeignKey(db_constraint=False, db_index=False, on_delete=django.db.models.deletion.DO_NOTHING, related_name='+', to='transactions.calculation')),
                ('sample', models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, related_name='items', to='remediation.auditsample')),
                ('transaction', models.ForeignKey(db_constraint=False, on_delete=django.db.models.deletion.DO_NOTHING, related_name='+', to='transactions.transaction')),
            ],
            options={
                'ordering': ['sample', 'number'],
            },
        ),
        migrations.CreateModel(
            name='AuditSampleVerdict',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('verdict', models.CharField(choices=[('correct', 'correct'), ('wrong', 'wrong'), ('cannot_tell', 'cannot tell')], max_length=16)),
                ('wrong_by', models.BigIntegerField(null=True)),
                ('comment', models.TextField(blank=True)),
                ('shown', models.JSONField()),
                ('recorded_at', models.DateTimeField(db_default=django.contrib.postgres.functions.TransactionNow())),
                ('item', models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, related_name='verdicts', to='remediation.auditsampleitem')),
                ('recorded_by', models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, related_name='+', to=settings.AUTH_USER_MODEL)),
            ],
            options={
                'ordering': ['id'],
            },
        ),
        migrations.CreateModel(
            name='AuditSampleConclusion',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('accepted', models.BooleanField()),
                ('report', models.JSONField()),
                ('comment', models.TextField(blank=True)),
                ('concluded_at', models.DateTimeField(db_default=django.contrib.postgres.functions.TransactionNow())),
                ('concluded_by', models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, related_name='+', to=settings.AUTH_USER_MODEL)),
                ('sample', models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, related_name='conclusions', to='remediation.auditsample')),
                ('last_verdict', models.ForeignKey(db_index=False, on_delete=django.db.models.deletion.PROTECT, related_name='+', to='remediation.auditsampleverdict')),
            ],
            options={
                'ordering': ['id'],
            },
        ),
        migrations.AddConstraint(
            model_name='auditsample',
            constraint=models.CheckConstraint(condition=models.Q(('confidence__gte', Decimal('0.5')), ('confidence__lt', 1)), name='auditsample_confidence'),
        ),
        migrations.AddConstraint(
            model_name='auditsample',
            constraint=models.CheckConstraint(condition=models.Q(('expected_rate__gte', 0), ('tolerable_rate__gt', models.F('expected_rate')), ('tolerable_rate__lt', 1)), name='auditsample_rates'),
        ),
        migrations.AddConstraint(
            model_name='auditsample',
            constraint=models.CheckConstraint(condition=models.Q(('size__gte', 1), ('size__lte', models.F('population'))), name='auditsample_size'),
        ),
        migrations.AddConstraint(
            model_name='auditsample',
            constraint=models.CheckConstraint(condition=models.Q(('seed', ''), _negated=True), name='auditsample_seed'),
        ),
        migrations.AddConstraint(
            model_name='auditsampleitem',
            constraint=models.UniqueConstraint(fields=('sample', 'number'), name='auditsampleitem_number_once'),
        ),
        migrations.AddConstraint(
            model_name='auditsampleitem',
            constraint=models.UniqueConstraint(fields=('sample', 'position'), name='auditsampleitem_position_once'),
        ),
        migrations.AddConstraint(
            model_name='auditsampleitem',
            constraint=models.UniqueConstraint(fields=('sample', 'transaction'), name='auditsampleitem_transaction_once'),
        ),
        migrations.AddConstraint(
            model_name='auditsampleverdict',
            constraint=models.CheckConstraint(condition=models.Q(models.Q(('verdict', 'wrong'), ('wrong_by__isnull', False)), models.Q(models.Q(('verdict', 'wrong'), _negated=True), ('wrong_by__isnull', True)), _connector='OR'), name='auditsampleverdict_amount_fits'),
        ),
        migrations.AddConstraint(
            model_name='auditsampleverdict',
            constraint=models.CheckConstraint(condition=models.Q(('verdict', 'correct'), models.Q(('comment', ''), _negated=True), _connector='OR'), name='auditsampleverdict_says_why'),
        ),
        run_sql_file(SQL / "0010_audit_sample.sql"),
    ]
