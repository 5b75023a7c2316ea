"""The arrows that people read about and the arrows that the database lets through are the same."""

import re
from pathlib import Path

from django.conf import settings

from remediation.lifecycle import APPLIED_PLAN, JOB_ARROWS, OPEN_PLAN, PLAN_ARROWS
from remediation.models import Job, Plan


def test_the_database_knows_exactly_the_plan_arrows_that_are_explained() -> None:
    sql = (Path(settings.BASE_DIR) / "remediation" / "sql" / "0001_four_eyes.sql").read_text(encoding="utf-8")
    arrows = set(re.findall(r"'(\w+)→(\w+)'", sql))
    assert arrows == {(str(start), str(end)) for start, end in PLAN_ARROWS}


def test_the_database_knows_exactly_the_job_arrows_that_are_explained() -> None:
    sql = (Path(settings.BASE_DIR) / "remediation" / "sql" / "0004_control.sql").read_text(encoding="utf-8")
    arrows = set(re.findall(r"'(\w+)→(\w+)'", sql[sql.index("NOT IN (") :]))
    assert arrows == {(str(start), str(end)) for start, end in JOB_ARROWS}


def test_every_status_is_reached_and_every_final_one_is_known() -> None:
    assert {str(end) for _, end in PLAN_ARROWS} | {"previewing"} == set(Plan.Status.values)
    final = set(Plan.Status.values) - {str(start) for start, _ in PLAN_ARROWS}
    assert final == {"executed", "stopped", "rejected", "superseded", "failed"}
    assert set(map(str, APPLIED_PLAN)) < final
    assert not final & set(map(str, OPEN_PLAN))
    assert {str(end) for _, end in JOB_ARROWS} | {"running"} == set(Job.Status.values)


def test_every_arrow_says_why() -> None:
    assert all(why.endswith(".") and len(why) > 10 for why in (PLAN_ARROWS | JOB_ARROWS).values())
