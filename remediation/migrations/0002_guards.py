from pathlib import Path

from django.db import migrations

from audit.sql_migration import run_sql_file

SQL = Path(__file__).parent.parent / "sql"


class Migration(migrations.Migration):
    dependencies = [
        ("remediation", "0001_initial"),
        ("transactions", "0002_pointer"),
        ("audit", "0002_append_only"),
        ("auth", "0012_alter_user_first_name_max_length"),
    ]
    operations = [
        run_sql_file(SQL / "0001_four_eyes.sql"),
        run_sql_file(SQL / "0001_apply_chunk.sql"),
    ]
