from pathlib import Path

from django.db import migrations

from audit.sql_migration import run_sql_file

SQL = Path(__file__).parent.parent / "sql"


class Migration(migrations.Migration):
    dependencies = [("transactions", "0003_import_permission")]
    operations = [run_sql_file(SQL / "0004_leaf.sql")]
