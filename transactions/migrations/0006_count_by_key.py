from pathlib import Path

from django.db import migrations

from audit.sql_migration import run_sql_file

SQL = Path(__file__).parent.parent / "sql"


class Migration(migrations.Migration):
    dependencies = [("transactions", "0005_rollups")]
    operations = [run_sql_file(SQL / "0006_count_by_key.sql")]
