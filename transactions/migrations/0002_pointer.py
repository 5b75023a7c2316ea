from pathlib import Path

from django.db import migrations

from audit.sql_migration import run_sql_file

SQL = Path(__file__).parent.parent / "sql"


class Migration(migrations.Migration):
    dependencies = [("transactions", "0001_initial"), ("audit", "0002_append_only")]
    operations = [run_sql_file(SQL / "0001_pointer.sql")]
