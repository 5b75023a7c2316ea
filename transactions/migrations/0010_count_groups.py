from pathlib import Path

from django.db import migrations

from audit.sql_migration import run_sql_file

SQL = Path(__file__).parent.parent / "sql"


class Migration(migrations.Migration):
    dependencies = [("transactions", "0009_saved_searches")]
    operations = [run_sql_file(SQL / "0010_count_groups.sql")]
