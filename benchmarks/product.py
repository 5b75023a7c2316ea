"""The product's side: the main job through its public functions, by Celery workers, as the application's role."""

import secrets
import time
from dataclasses import dataclass

from django.conf import settings
from django.contrib.auth.models import User

from audit.step_up import confirmed_by_operator
from backoffice.people import create_user
from benchmarks.floor import FloorChunk
from benchmarks.workers import running_workers
from remediation.apply import start_apply
from remediation.approval import approve
from remediation.case import open_case
from remediation.keyset import chunk_bounds, newest_calculation
from remediation.models import Job, Outcome, Plan
from remediation.preview import request_preview
from remediation.verify import start_verify
from transactions.models import Calculation, Release
from transactions.selection import Selection

SELECTION = Selection("pricing", services=("payments",), versions=("1.9.0",))
_POLL_SECONDS = 0.05


class WrongResult(AssertionError):
    """What was measured did not do its work: its time means nothing."""


@dataclass(frozen=True)
class ProductTimes:
    """Seconds from asking until the job has ended (for `verify` too, where it was asked for), rows, and the pool's peak memory."""

    preview: float
    apply: float
    verify: float | None
    rows: int
    megabytes: float


def run_product(target_version: str, workers: int, *, verify: bool = False) -> ProductTimes:
    """Preview, approve and apply the whole incident. Raises `WrongResult` where a row was left out, failed or in conflict."""
    engineer, approver = _person("engineer"), _person("approver")
    case = open_case(SELECTION, target_version, reason="Tax was taken before discount.", acting_user=engineer)
    settings.HOME.make_directories()
    with running_workers(workers, settings.HOME.logs / "bench-workers.log") as pool:
        begun = time.perf_counter()
        plan = request_preview(case, acting_user=engineer)
        _await(plan.jobs.get(kind=Job.Kind.PREVIEW))
        preview = time.perf_counter() - begun

        plan.refresh_from_db()
        if plan.status != Plan.Status.READY or plan.digest is None or plan.manifest is None:
            raise WrongResult(f"{plan} is {plan.status}: {plan.failure}")
        approve(
            plan, bytes(plan.digest).hex(), acting_user=approver, confirmed=confirmed_by_operator(approver)
        )
        begun = time.perf_counter()
        job = start_apply(plan, acting_user=engineer)
        _await(job)
        apply = time.perf_counter() - begun
        verified = _verify(plan, engineer) if verify else None
        megabytes = pool.peak_megabytes()
    return ProductTimes(preview, apply, verified, _check(plan, job), megabytes)


def floor_chunks() -> list[FloorChunk]:
    """The same chunks for the floor."""
    wrong, right = (Release.objects.get(version=version) for version in ("1.9.0", "2.0.0"))
    bounds = chunk_bounds(wrong.pk, SELECTION, newest_calculation())
    return [
        FloorChunk(number, wrong.pk, right.pk, *after, *through)
        for number, (after, through) in enumerate(bounds)
    ]


def _person(role: str) -> User:
    create_user(role, role, secrets.token_urlsafe(16))
    return User.objects.get(username=role)


def _await(job: Job) -> None:
    while job.status == Job.Status.RUNNING:
        time.sleep(_POLL_SECONDS)
        job.refresh_from_db(fields=["status", "failure"])
    if job.status != Job.Status.FINISHED:
        raise WrongResult(f"{job} failed: {job.failure}")


def _verify(plan: Plan, engineer: User) -> float:
    begun = time.perf_counter()
    job = start_verify(plan.case, acting_user=engineer)
    _await(job)
    seconds = time.perf_counter() - begun
    job.refresh_from_db()
    if not job.result or job.result["differing"] or not job.result["reconciled"]:
        raise WrongResult(f"The verification found: {job.result}")
    return seconds


def _check(plan: Plan, job: Job) -> int:
    expected = Calculation.objects.filter(release__version="1.9.0", plan_chunk_id=None).count()
    applied = sum(chunk.result["applied"] for chunk in job.chunks.all() if chunk.result)
    bad = Outcome.objects.count()
    assert plan.manifest is not None
    if not plan.manifest["proposed"] == applied == expected or bad:
        raise WrongResult(
            f"{expected} rows were wrong, {plan.manifest['proposed']} were proposed and {applied} applied; {bad} failed or in conflict."
        )
    return int(applied)
