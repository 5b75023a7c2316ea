"""Where a case stands follows from its plans and jobs alone."""

from typing import Any

import pytest

from remediation.models import Job, Plan
from remediation.stage import Stage, derive_stage


def plans(*statuses: str) -> list[Plan]:
    """Plans 1, 2, … of those statuses; "revert executed" is one that takes back."""
    made = []
    for number, words in enumerate(statuses, 1):
        kind, _, status = words.rpartition(" ")
        made.append(Plan(pk=number, kind=kind or "apply", status=status))
    return made


def applying(plan: int, *, job: int) -> Job:
    return Job(pk=job, plan_id=plan, kind="apply", status="finished")


def verification(job: int, **found: Any) -> Job:
    return Job(pk=job, kind="verify", status="finished", result={"differing": 0, "reconciled": True} | found)


@pytest.mark.parametrize(
    ("statuses", "stage"),
    [
        ((), Stage.OPENED),
        (("previewing",), Stage.PREVIEWING),
        (("ready",), Stage.READY),
        (("approved",), Stage.APPROVED),
        (("executing",), Stage.APPLYING),
        (("stopped",), Stage.STOPPED),
        (("rejected",), Stage.REJECTED),
        (("failed",), Stage.FAILED),
        (("superseded",), Stage.OPENED),
        (("superseded", "ready"), Stage.READY),
        (("executed", "revert ready"), Stage.READY),
        (("executed", "revert rejected"), Stage.APPLIED),
        (("executed", "revert executed"), Stage.REVERTED),
        (("executed", "revert executed", "reapply executed"), Stage.APPLIED),
    ],
)
def test_the_open_plan_decides_and_else_what_was_applied_last(
    statuses: tuple[str, ...], stage: Stage
) -> None:
    assert derive_stage(plans(*statuses), []) == stage


@pytest.mark.parametrize(
    ("jobs", "stage"),
    [
        ([applying(1, job=5), verification(6)], Stage.VERIFIED),
        ([applying(1, job=5), verification(6, differing=3)], Stage.LEFT_OVER),
        (
            [applying(1, job=5), verification(6, classes={"failed": {"rows": 1, "money": {}}})],
            Stage.LEFT_OVER,
        ),
        ([applying(1, job=5), verification(6, reconciled=False)], Stage.UNRECONCILED),
        ([applying(1, job=5), verification(4)], Stage.APPLIED),
        ([applying(1, job=5), verification(6, differing=3), verification(7)], Stage.VERIFIED),
    ],
)
def test_only_a_verification_after_the_apply_says_anything_about_it(jobs: list[Job], stage: Stage) -> None:
    assert derive_stage(plans("executed"), jobs) == stage


def test_a_plan_that_proposes_nothing_waits_for_nobody() -> None:
    empty = Plan(pk=2, kind="apply", status="ready", manifest={"proposed": 0})
    assert derive_stage([empty], []) == Stage.NOTHING_PROPOSED
    (executed,) = plans("executed")
    assert derive_stage([executed, empty], [applying(1, job=5), verification(6)]) == Stage.VERIFIED


def test_every_stage_has_words_for_people() -> None:
    assert all(stage.label for stage in Stage)
