import json
from itertools import groupby
from pathlib import Path

import django.db.models.deletion
from django.db import migrations, models

from audit.merkle import LEAF_SIZE, leaf_hash, merkle_root, split_leaves
from audit.sql_migration import run_sql_file

SQL = Path(__file__).parent.parent / "sql"

PIECES = """
    SELECT batch_id, piece, min(id), max(id), string_agg(leaf, ''::bytea ORDER BY id)
    FROM (
        SELECT batch_id, id, (row_number() OVER (PARTITION BY batch_id ORDER BY id) - 1) / 10000 AS piece,
               amends_reported_leaf(id, transaction_id, release_id, calculated_at, facts_hash, amounts_text) AS leaf
        FROM (
            SELECT c.batch_id, c.id, c.transaction_id, c.release_id, c.calculated_at, t.facts_hash, c.amounts::text AS amounts_text
            FROM transactions_calculation c JOIN transactions_transaction t ON t.id = c.transaction_id
            WHERE c.batch_id IS NOT NULL
            OFFSET 0
        ) AS told
    ) AS numbered
    GROUP BY batch_id, piece ORDER BY batch_id, piece
"""
COVERED = """
    INSERT INTO audit_auditentry (event, actor_label, subject_type, subject_id, subject_label, reason, request_id, data)
    SELECT 'transactions.covered', 'Amends', 'transactions.ingestbatch', id, left(source || ': ' || origin, 254), '', '', %s
    FROM transactions_ingestbatch WHERE id = %s
"""


def cover_known_batches(apps, schema_editor):
    """What came in before leaves were kept is covered from here on, as it is now: the trail says so of each batch."""
    connection = schema_editor.connection
    with connection.chunked_cursor() as reading, connection.cursor() as writing:
        reading.execute(PIECES)
        rows = iter(reading.fetchone, None)
        for batch, pieces in groupby(rows, key=lambda row: row[0]):
            roots, calculations = [], 0
            for _, position, first, last, leaves in pieces:
                root = merkle_root(split_leaves(bytes(leaves)))
                writing.execute(
                    "INSERT INTO transactions_ingestleaves (batch_id, position, first_calculation, last_calculation, leaves, root)"
                    " VALUES (%s, %s, %s, %s, %s, %s)",
                    [batch, position, first, last, leaves, root],
                )
                roots.append(root)
                calculations += len(leaves) // LEAF_SIZE
            root = merkle_root(leaf_hash(each) for each in roots)
            writing.execute(COVERED, [json.dumps({"calculations": calculations, "root": root.hex()}), batch])


class Migration(migrations.Migration):

    dependencies = [
        ('audit', '0002_append_only'),
        ('transactions', '0006_count_by_key'),
    ]

    operations = [
        migrations.CreateModel(
            name='IngestLeaves',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('position', models.PositiveIntegerField()),
                ('first_calculation', models.BigIntegerField(help_text='The lowest id among its calculations.')),
                ('last_calculation', models.BigIntegerField(help_text='The highest.')),
                ('leaves', models.BinaryField()),
                ('root', models.BinaryField(max_length=32)),
                ('batch', models.ForeignKey(db_constraint=False, db_index=False, on_delete=django.db.models.deletion.DO_NOTHING, related_name='leaves', to='transactions.ingestbatch')),
            ],
            options={
                'verbose_name_plural': 'ingest leaves',
                'constraints': [models.UniqueConstraint(fields=('batch', 'position'), name='ingestleaves_position_unique')],
            },
        ),
        run_sql_file(SQL / "0007_reported_leaf.sql"),
        migrations.RunPython(cover_known_batches, elidable=True),
    ]
