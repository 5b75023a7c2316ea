"""What can happen to cases, plans and jobs, as the trail records it. Money is {"USD:2": whole smallest units}."""

from typing import Any

from django.utils.translation import gettext_noop as _
from msgspec import field

from audit.events import EventData, register_event


class CaseOpened(EventData, frozen=True):
    criteria: dict[str, Any]
    target_version: str
    ticket: str


class CaseEdited(EventData, frozen=True):
    """A case as of its revision of that number: what is looked at, what it is corrected to, and what is left out."""

    revision: int
    criteria: dict[str, Any]
    target_version: str
    exclusions: dict[str, Any]


class CaseCommented(EventData, frozen=True):
    """The comment's number; what it says is the entry's reason."""

    comment: int


class PreviewRequested(EventData, frozen=True):
    case: int
    kind: str
    source_plan: int | None
    chunks: int
    job: int
    retries: int | None = None


class PlanSuperseded(EventData, frozen=True):
    digest: str
    was: str


class PlanSealed(EventData, frozen=True):
    """What people are to decide on. `required_approvals` is how many of them must approve; 0 in early entries, which did not tell it."""

    digest: str
    scanned: int
    unchanged: int
    proposed: int
    failed: int
    money: dict[str, dict[str, int]]
    left_out: int = 0
    left_out_money: dict[str, dict[str, int]] = field(default_factory=dict)
    required_approvals: int = 0


class PlanDecided(EventData, frozen=True):
    """A decision on a plan. `confirmed_by` is how whoever decided showed that it is they: `audit.step_up`; null in early entries."""

    digest: str
    comment: str
    status: str
    confirmed_by: str | None = None


class Failed(EventData, frozen=True):
    failure: str


class ApplyStarted(EventData, frozen=True):
    plan: int
    digest: str
    chunks: int


class ChunkScanned(EventData, frozen=True):
    job: int
    plan: int
    scanned: int
    proposed: int
    failed: int
    root: str
    left_out: int = 0


class ChunkApplied(EventData, frozen=True):
    """Written by `amends_apply_chunk` in the database: what became of `leaf_count` rows of the plan's chunk, from `first_leaf` on.

    `conflicts_digest` is the SHA-256 (hexadecimal) over the transaction ids of the conflicts, ascending, 8 octets each, highest first; ""
    where there are none. It and `leaf_count` are null in early entries.
    """

    job: int
    plan: int
    plan_chunk: int
    first_leaf: int
    applied: int
    conflicts: int
    money: dict[str, int]
    root: str
    leaf_count: int | None = None
    conflicts_digest: str | None = None


class JobFinished(EventData, frozen=True):
    plan: int | None
    chunks: int


class LeaseReclaimed(EventData, frozen=True):
    job: int
    worker: str
    attempts: int


class JobControlled(EventData, frozen=True):
    """A job that was paused, resumed or cancelled; `held_at_stage` is the stage whose gate held it, counted from 0."""

    plan: int | None
    held_at_stage: int | None


class JobTuned(EventData, frozen=True):
    """What a job may use, before and after; null is no limit."""

    before: dict[str, int | None]
    after: dict[str, int | None]


class StagePassed(EventData, frozen=True):
    """A stage (from 0) whose gates let the job go on, and what had been done by its end."""

    stage: int
    rows: int
    conflicts: int
    quarantined: int


class GateFailed(EventData, frozen=True):
    stage: int
    gates: dict[str, str]


class ChunkSplit(EventData, frozen=True):
    job: int
    kept: int
    split_off: int


class RowQuarantined(EventData, frozen=True):
    job: int
    transaction: int
    attempts: int


class VerifyStarted(EventData, frozen=True):
    case: int
    chunks: int


class VerifyFinished(EventData, frozen=True):
    """What a verification of a case found, by `job`; 0 in early entries, which did not name it."""

    differing: int
    reconciled: bool
    excluded: int = 0
    job: int = 0


class SampleDrawn(EventData, frozen=True):
    """An audit sample: rates as decimal texts, shares of 1; `items` is `remediation.drawing.items_digest`."""

    job: int
    plan: int
    plan_digest: str
    confidence: str
    tolerable_rate: str
    expected_rate: str
    population: int
    size: int
    allowed_errors: int
    seed: str
    seed_chosen: bool
    draw_format: int
    items: str


class SampleVerdictRecorded(EventData, frozen=True):
    """A verdict on the `number`th drawn correction. `wrong_by` in smallest units of `money` ("USD:2"); `was` is the verdict before,
    if any."""

    number: int
    transaction: int
    verdict: str
    wrong_by: int | None
    money: str
    was: str | None
    shown: dict[str, Any]


class SampleConcluded(EventData, frozen=True):
    accepted: bool
    report: dict[str, Any]


class CaseExported(EventData, frozen=True):
    """An evidence pack that somebody took: the SHA-256 (hexadecimal) of its manifest.json, which covers all of it, and its corrections."""

    manifest: str
    corrections: int


CASE_OPENED = register_event("case.opened", _("{actor} opened {subject}"), CaseOpened)
CASE_EDITED = register_event("case.edited", _("{actor} edited {subject}"), CaseEdited)
CASE_COMMENTED = register_event("case.commented", _("{actor} commented on {subject}"), CaseCommented)
PREVIEW_REQUESTED = register_event(
    "plan.preview_requested", _("{actor} asked for {subject} to be previewed"), PreviewRequested
)
PLAN_SUPERSEDED = register_event(
    "plan.superseded", _("{actor} replaced {subject} by a newer preview"), PlanSuperseded
)
PLAN_SEALED = register_event("plan.sealed", _("{actor} sealed {subject}"), PlanSealed)
PLAN_FAILED = register_event("plan.failed", _("{actor} gave up on {subject}"), Failed)
PLAN_APPROVED = register_event("plan.approved", _("{actor} approved {subject}"), PlanDecided)
PLAN_REJECTED = register_event("plan.rejected", _("{actor} rejected {subject}"), PlanDecided)
APPLY_STARTED = register_event("plan.apply_started", _("{actor} began to apply {subject}"), ApplyStarted)
PLAN_EXECUTED = register_event("plan.executed", _("{actor} finished applying {subject}"), JobFinished)
PLAN_STOPPED = register_event("plan.stopped", _("{actor} stopped {subject} part of the way"), Failed)
CHUNK_SCANNED = register_event("chunk.scanned", _("{actor} scanned {subject}"), ChunkScanned)
CHUNK_APPLIED = register_event("chunk.applied", _("{actor} applied {subject}"), ChunkApplied)
JOB_FINISHED = register_event("job.finished", _("{actor} finished {subject}"), JobFinished)
JOB_FAILED = register_event("job.failed", _("{actor} gave up on {subject}"), Failed)
LEASE_RECLAIMED = register_event(
    "lease.reclaimed", _("{actor} took {subject} back from a lost worker"), LeaseReclaimed
)
VERIFY_STARTED = register_event("case.verify_started", _("{actor} began to verify {subject}"), VerifyStarted)
VERIFY_FINISHED = register_event("case.verified", _("{actor} verified {subject}"), VerifyFinished)
JOB_PAUSING = register_event("job.pausing", _("{actor} asked to pause {subject}"), JobControlled)
JOB_PAUSED = register_event("job.paused", _("{actor} paused {subject}"), JobControlled)
JOB_RESUMED = register_event("job.resumed", _("{actor} resumed {subject}"), JobControlled)
JOB_CANCELLING = register_event("job.cancelling", _("{actor} asked to cancel {subject}"), JobControlled)
JOB_CANCELLED = register_event("job.cancelled", _("{actor} cancelled {subject}"), JobControlled)
JOB_TUNED = register_event("job.tuned", _("{actor} tuned {subject}"), JobTuned)
STAGE_PASSED = register_event("job.stage_passed", _("{actor} passed a stage of {subject}"), StagePassed)
GATE_FAILED = register_event("job.gate_failed", _("{actor} held {subject} at a gate"), GateFailed)
CHUNK_SPLIT = register_event("chunk.split", _("{actor} split {subject}"), ChunkSplit)
ROW_QUARANTINED = register_event("chunk.quarantined", _("{actor} quarantined {subject}"), RowQuarantined)
SAMPLE_DRAWN = register_event("sample.drawn", _("{actor} drew {subject}"), SampleDrawn)
SAMPLE_VERDICT_RECORDED = register_event(
    "sample.verdict_recorded", _("{actor} judged a correction of {subject}"), SampleVerdictRecorded
)
SAMPLE_CONCLUDED = register_event("sample.concluded", _("{actor} concluded {subject}"), SampleConcluded)
CASE_EXPORTED = register_event(
    "case.exported", _("{actor} took the evidence pack of {subject}"), CaseExported
)


class StatementBegun(EventData, frozen=True):
    """A store's statement of corrections is taken along: of orders from `begin` on and before `end`, ISO 8601; "" for no limit."""

    begin: str
    end: str


class StatementTaken(EventData, frozen=True):
    """How that ended: `rows` corrections left, in a file of that SHA-256 (hexadecimal); not `complete` where it was broken off.

    `begun` is the id of the entry that tells of its beginning.
    """

    begun: int
    begin: str
    end: str
    rows: int
    sha256: str
    complete: bool


class StatementShown(EventData, frozen=True):
    """A store's statement of corrections was shown as a page that prints, whole: of orders from `begin` on and before `end`, as above."""

    begin: str
    end: str


STATEMENT_SHOWN = register_event(
    "store.statement_shown", _("{actor} had the statement of {subject} shown"), StatementShown
)
STATEMENT_BEGUN = register_event(
    "store.statement_begun", _("{actor} began to take the statement of {subject} along"), StatementBegun
)
STATEMENT_TAKEN = register_event(
    "store.statement_taken", _("{actor} took the statement of {subject} along"), StatementTaken
)
