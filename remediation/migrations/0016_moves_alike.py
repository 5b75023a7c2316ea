from pathlib import Path

from django.db import migrations

from audit.sql_migration import run_sql_file

SQL = Path(__file__).parent.parent / "sql"


class Migration(migrations.Migration):
    dependencies = [("remediation", "0015_policy"), ("transactions", "0010_count_groups")]
    operations = [run_sql_file(SQL / "0016_moves_alike.sql")]
