from pathlib import Path

from django.db import migrations

from audit.sql_migration import run_sql_file

SQL = Path(__file__).parent.parent / "sql"


class Migration(migrations.Migration):
    dependencies = [("remediation", "0010_audit_sample"), ("audit", "0003_reading_in_time")]
    operations = [run_sql_file(SQL / "0011_trail_of_a_case.sql")]
