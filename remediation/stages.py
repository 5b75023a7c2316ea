"""Beginning small: a large apply moves one row, then a hundred, then one in a hundred, and then the rest, with gates in between.

A stage's rows are spread over some of the plan's chunks, so that what is wrong with one kind of rows shows early. The next stage begins
when every chunk of the last is done and its gates (`remediation.gates`) are content; otherwise the job is paused, and a person decides.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal

from django.conf import settings
from django.db import transaction

from audit.errors import Refused
from audit.trail import record
from remediation.control import complete_stop
from remediation.doorbell import ring_after_commit
from remediation.events import GATE_FAILED, STAGE_PASSED, GateFailed, StagePassed
from remediation.gates import failed_gates, stage_so_far
from remediation.models import Job, JobChunk, PlanChunk

SPREAD = 5
"""Plan chunks that a stage's rows are taken from, as long as those have enough: each costs a transaction."""


_STAGE = re.compile(r"(?P<number>[0-9]{1,12}|[0-9]{1,3}\.[0-9]{1,6}(?=%))(?P<percent>%)?")


class StagesImpossible(Refused):
    """Stages that do not grow from one row on."""


@dataclass(frozen=True)
class Part:
    """Leaves of a plan's chunk that are moved in one stage, from `first_leaf` on."""

    chunk: PlanChunk
    stage: int
    first_leaf: int
    leaf_count: int


def usual_stages(rows: int) -> list[int]:
    """Rows moved by the end of each stage: 1, 100, 1 %, all; one stage up to AMENDS_STAGES_ABOVE_ROWS rows."""
    if rows <= settings.AMENDS_STAGES_ABOVE_ROWS:
        return [rows]
    return sorted({1, 100, rows // 100, rows} - {0})


def stages_from(text: str, rows: int) -> list[int]:
    """What a person writes, "1,100,1%" or "none", for a plan of so many rows; a share is at least one row, and the order does not matter.

    Raises `StagesImpossible` where it cannot be read.
    """
    if text.strip() == "none":
        return []
    stages: set[int] = set()
    for part in text.split(","):
        match = _STAGE.fullmatch(part.strip())
        if match is None:
            raise StagesImpossible(
                f"“{part}” is no stage: give numbers of rows or percentages, such as 1,100,1%, or none."
            )
        number = Decimal(match["number"])
        stages.add(max(int(rows * number / 100), 1) if match["percent"] else int(number))
    if 0 in stages:
        raise StagesImpossible("A stage moves at least one row.")
    return sorted(stages)


def checked_stages(stages: Sequence[int], rows: int) -> list[int]:
    """`stages` for a plan of so many rows, ending with all of them. Raises `StagesImpossible`."""
    if any(later <= earlier for earlier, later in zip([0, *stages], stages, strict=False)):
        raise StagesImpossible(
            f"Stages are rows moved by the end of each, and grow: {', '.join(map(str, stages))} do not."
        )
    return [*(stage for stage in stages if stage < rows), rows]


def lay_out(chunks: Sequence[PlanChunk], stages: Sequence[int]) -> list[Part]:
    """Every leaf of `chunks` in exactly one part, stage after stage, in the chunks' order."""
    chunks = [chunk for chunk in chunks if chunk.proposed]
    taken = dict.fromkeys(range(len(chunks)), 0)
    parts: list[Part] = []
    done = 0
    for number, through in enumerate(stages[:-1]):
        for index, count in _spread(chunks, taken, through - done):
            parts.append(Part(chunks[index], number, taken[index], count))
            taken[index] += count
        done = through
    last = len(stages) - 1
    for index, chunk in enumerate(chunks):
        rest = (chunk.proposed or 0) - taken[index]
        if rest:
            parts.append(Part(chunk, last, taken[index], rest))
    return parts


def _spread(chunks: Sequence[PlanChunk], taken: dict[int, int], rows: int) -> list[tuple[int, int]]:
    """(chunk's index, rows): `rows` in all, evenly from `SPREAD` chunks, and where those have too few, all of others and then of those."""
    step = max(len(chunks) // SPREAD, 1)
    chosen = list(range(0, len(chunks), step))[:SPREAD]
    others = [index for index in range(len(chunks)) if index not in set(chosen)]
    share = -(-rows // len(chosen))
    found: dict[int, int] = {}
    for index, most in [*((each, share) for each in chosen), *((each, rows) for each in others + chosen)]:
        already = found.get(index, 0)
        count = min((chunks[index].proposed or 0) - taken[index] - already, most, rows)
        if count:
            found[index] = already + count
            rows -= count
    return list(found.items())


def advance_stage(job_id: int) -> bool:
    """Begin the job's next stage where the current one is done and its gates are content. Whether it began, by us or another meanwhile.

    Where a gate is not content the job is paused, with the reason.
    """
    seen = Job.objects.values_list("stage", flat=True).get(pk=job_id)
    with transaction.atomic():
        job = Job.objects.select_for_update().get(pk=job_id)
        if job.stage > seen:
            return True
        if job.status != Job.Status.RUNNING or job.stage + 1 >= len(job.stages):
            return False
        unfinished = (JobChunk.Status.WAITING, JobChunk.Status.LEASED, JobChunk.Status.REFUSED)
        if job.chunks.filter(stage=job.stage, status__in=unfinished).exists():
            return False
        so_far = stage_so_far(job)
        failed = failed_gates(job, so_far)
        if failed:
            why = " ".join(failed.values())
            job.status, job.held_at_stage = Job.Status.PAUSING, job.stage
            job.pause_reason = f"Stage {job.stage + 1} of {len(job.stages)}: {why}"
            job.save(update_fields=["status", "held_at_stage", "pause_reason"])
            record(GATE_FAILED, job, GateFailed(stage=job.stage, gates=failed), actor=None, reason=why)
        else:
            record(
                STAGE_PASSED,
                job,
                StagePassed(
                    stage=job.stage,
                    rows=so_far.rows,
                    conflicts=so_far.conflicts,
                    quarantined=so_far.quarantined,
                ),
                actor=None,
            )
            job.stage += 1
            job.save(update_fields=["stage"])
            ring_after_commit(job)
    if failed:
        complete_stop(job)
    return not failed
