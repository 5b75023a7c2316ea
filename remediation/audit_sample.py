"""What an auditor does with a sample: draw it, judge what was drawn, conclude."""

from decimal import Decimal
from fractions import Fraction
from secrets import token_hex

from django.contrib.auth.models import User
from django.db import connection, transaction

from audit.denied import note_denied
from audit.errors import Refused
from audit.permission import demand
from audit.trail import record
from remediation.apply import Tampered
from remediation.attribute_sampling import SamplingImpossible, allowed_errors, sample_size
from remediation.digest import chunks_digest, digest_of
from remediation.drawing import AppliedCorrections, Drawn, draw_positions, items_digest
from remediation.events import (
    SAMPLE_CONCLUDED,
    SAMPLE_DRAWN,
    SAMPLE_VERDICT_RECORDED,
    SampleConcluded,
    SampleDrawn,
    SampleVerdictRecorded,
)
from remediation.models import (
    AuditSample,
    AuditSampleConclusion,
    AuditSampleItem,
    AuditSampleVerdict,
    Job,
    Plan,
)
from remediation.models.audit_sample import DRAW_FORMAT
from remediation.money import money_key
from remediation.recomputation import check_items
from remediation.sample_report import report_of
from transactions.models import Transaction

PERMISSION = "remediation.audit_sample"
LONGEST_SEED = 200


class NotApplied(Refused):
    """The job applies nothing, or has not ended: what it did is not final."""


class OwnCase(Refused):
    """Whoever had a part in a case does not judge its corrections."""


class SeedImpossible(Refused):
    """A seed is 1 to `LONGEST_SEED` characters, without blanks around it."""


class VerdictIncomplete(Refused):
    """A verdict lacks what its kind needs: the right total, or why."""


class NotAllJudged(Refused):
    """Corrections of the sample wait for a verdict."""


def draw_sample(
    job: Job,
    *,
    acting_user: User,
    confidence: Decimal,
    tolerable_rate: Decimal,
    expected_rate: Decimal = Decimal(0),
    seed: str = "",
) -> AuditSample:
    """A random sample of the corrections that `job` applied; rates and confidence are shares of 1. Without `seed` one is drawn.

    Asked twice for the same it is one sample; asked without a seed, the one of the acting user that waits for its first verdict.
    Raises `NotPermitted`, `OwnCase`, `NotApplied`, `SeedImpossible`, `attribute_sampling.SamplingImpossible`, or `apply.Tampered`
    where plan or chunks are not what was approved.
    """
    demand(acting_user, PERMISSION)
    _refuse_own_case(job, acting_user)
    plan = _plan_applied_by(job)
    chosen = seed.strip()
    if len(chosen) > LONGEST_SEED or not chosen.isprintable():
        raise SeedImpossible(f"A seed is at most {LONGEST_SEED} printable characters.")
    for share, digits in ((confidence, 4), (tolerable_rate, 8), (expected_rate, 8)):
        if not share.is_finite() or share != round(share, digits):
            raise SamplingImpossible(
                "A confidence has at most 2 digits after the point of its percents, a rate at most 6."
            )
    corrections = AppliedCorrections(job)
    rates = {"confidence": Fraction(confidence), "tolerable": Fraction(tolerable_rate)}
    size = sample_size(len(corrections), **rates, expected=Fraction(expected_rate))
    asked = {"confidence": confidence, "tolerable_rate": tolerable_rate, "expected_rate": expected_rate}
    with transaction.atomic():
        _one_at_a_time(job)
        standing = _standing(job, asked, chosen, acting_user)
        if standing is not None:
            return standing
        sample = AuditSample.objects.create(
            job=job,
            **asked,
            population=len(corrections),
            size=size,
            allowed_errors=allowed_errors(len(corrections), size, **rates),
            seed=chosen or token_hex(16),
            seed_chosen=bool(chosen),
            plan_digest=bytes(plan.digest or b""),
            drawn_by=acting_user,
        )
        positions = positions_of(sample)
        found = corrections.at(positions)
        drawn = [found[position] for position in positions]
        AuditSampleItem.objects.bulk_create(
            (_item(sample, number, each) for number, each in enumerate(drawn, 1)), batch_size=1000
        )
        _record_drawn(sample, plan, drawn)
    return sample


def positions_of(sample: AuditSample) -> list[int]:
    """The positions that the sample's seed draws, in order: what its items must be."""
    return draw_positions(
        seed=sample.seed,
        job=sample.job_id,
        plan_digest=bytes(sample.plan_digest),
        population=sample.population,
        size=sample.size,
    )


def record_verdict(
    item: AuditSampleItem,
    verdict: AuditSampleVerdict.Verdict,
    *,
    acting_user: User,
    right_total: int | None = None,
    comment: str = "",
) -> AuditSampleVerdict:
    """What the acting user finds of a drawn correction, with what recomputing it shows just now; the same again is no new verdict.

    `right_total`, in smallest units, is asked for where the correction is wrong, and a comment wherever it is not simply correct.
    Raises `NotPermitted`, `OwnCase`, `VerdictIncomplete`.
    """
    demand(acting_user, PERMISSION)
    _refuse_own_case(item.sample.job, acting_user)
    wrong = verdict == AuditSampleVerdict.Verdict.WRONG
    if wrong and right_total is None:
        raise VerdictIncomplete("Say what the total should be: the error is projected from it.")
    if not wrong and right_total is not None:
        raise VerdictIncomplete("Only a wrong correction has another right total.")
    if verdict != AuditSampleVerdict.Verdict.CORRECT and not comment.strip():
        raise VerdictIncomplete("Say in the comment what is wrong, or why it cannot be told.")
    (shown,) = check_items([item])
    if shown.gone and verdict != AuditSampleVerdict.Verdict.CANNOT_TELL:
        raise VerdictIncomplete("Its rows are not there any more: nobody can tell whether it was right.")
    wrong_by = None if right_total is None else item.calculation.total - right_total
    with transaction.atomic():
        _one_at_a_time(item.sample.job)
        before = item.verdicts.order_by("-pk").first()
        if before is not None and (
            before.verdict,
            before.wrong_by,
            before.comment,
            before.recorded_by_id,
        ) == (
            verdict,
            wrong_by,
            comment.strip(),
            acting_user.pk,
        ):
            return before
        recorded = AuditSampleVerdict.objects.create(
            item=item,
            verdict=verdict,
            wrong_by=wrong_by,
            comment=comment.strip(),
            shown=shown.as_json(),
            recorded_by=acting_user,
        )
        facts = Transaction.objects.only("currency", "scale").filter(pk=item.transaction_id).first()
        record(
            SAMPLE_VERDICT_RECORDED,
            item.sample,
            SampleVerdictRecorded(
                number=item.number,
                transaction=item.transaction_id,
                verdict=verdict,
                wrong_by=wrong_by,
                money="" if facts is None else money_key(facts.currency, facts.scale),
                was=None if before is None else before.verdict,
                shown=shown.as_json(),
            ),
            actor=acting_user,
            reason=comment.strip(),
        )
    return recorded


def conclude_sample(sample: AuditSample, *, acting_user: User, comment: str = "") -> AuditSampleConclusion:
    """Whether the population is accepted, from a verdict on every correction; asked again with no newer verdict, the same conclusion.

    Raises `NotPermitted`, `OwnCase`, `NotAllJudged`.
    """
    demand(acting_user, PERMISSION)
    _refuse_own_case(sample.job, acting_user)
    with transaction.atomic():
        _one_at_a_time(sample.job)
        report = report_of(sample)
        if report.accepted is None or report.last_verdict is None:
            raise NotAllJudged(f"{report.waiting:,} of {sample.size:,} corrections wait for a verdict.")
        standing = sample.conclusions.order_by("-pk").first()
        if standing is not None and standing.last_verdict_id == report.last_verdict:
            return standing
        conclusion = AuditSampleConclusion.objects.create(
            sample=sample,
            accepted=report.accepted,
            last_verdict_id=report.last_verdict,
            report=report.as_json(),
            comment=comment.strip(),
            concluded_by=acting_user,
        )
        record(
            SAMPLE_CONCLUDED,
            sample,
            SampleConcluded(accepted=report.accepted, report=report.as_json()),
            actor=acting_user,
            reason=comment.strip(),
        )
    return conclusion


def why_not_audit(job: Job, user: User) -> str:
    """Why `user` may not judge the job's corrections, in a sentence; "" where nothing but a permission could stand against it."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT amends_part_in_case(%s, %s)", [job.pk, user.pk])
        part = cursor.fetchone()[0]
    return f"You {part}: somebody else judges its corrections." if part else ""


def _one_at_a_time(job: Job) -> None:
    """Wait for others who draw, judge or conclude, so that what two ask for at once is done once. Nobody else locks an ended job."""
    Job.objects.select_for_update(of=["self"]).only("pk").get(pk=job.pk)


def _refuse_own_case(job: Job, user: User) -> None:
    if why := why_not_audit(job, user):
        note_denied(user, f"audit own work: {job}")
        raise OwnCase(why)


def _plan_applied_by(job: Job) -> Plan:
    plan = job.plan
    if job.kind != Job.Kind.APPLY or plan is None:
        raise NotApplied(f"{job} applies nothing: a sample is drawn from a job that applied a plan.")
    if not job.ended:
        raise NotApplied(f"{job} has not ended: what it applies is not final.")
    if plan.digest is None or plan.manifest is None:
        raise NotApplied(f"{plan} was never sealed.")
    if digest_of(plan.manifest) != bytes(plan.digest) or chunks_digest(plan) != plan.manifest["chunks"]:
        raise Tampered(f"{plan} is not what its digest says. No sample was drawn; verify the trail.")
    return plan


def _standing(job: Job, asked: dict[str, Decimal], seed: str, user: User) -> AuditSample | None:
    alike = job.audit_samples.filter(**asked)
    if seed:
        return alike.filter(seed=seed).first()
    return alike.filter(drawn_by=user, seed_chosen=False).exclude(items__verdicts__isnull=False).first()


def _item(sample: AuditSample, number: int, drawn: Drawn) -> AuditSampleItem:
    return AuditSampleItem(
        sample=sample,
        number=number,
        position=drawn.position,
        job_chunk_id=drawn.job_chunk,
        leaf_number=drawn.leaf_number,
        leaf=drawn.leaf,
        transaction_id=drawn.transaction,
        calculation_id=drawn.calculation,
        replaces_id=drawn.replaces,
    )


def _record_drawn(sample: AuditSample, plan: Plan, drawn: list[Drawn]) -> None:
    record(
        SAMPLE_DRAWN,
        sample,
        SampleDrawn(
            job=sample.job_id,
            plan=plan.pk,
            plan_digest=bytes(sample.plan_digest).hex(),
            confidence=format(sample.confidence.normalize(), "f"),
            tolerable_rate=format(sample.tolerable_rate.normalize(), "f"),
            expected_rate=format(sample.expected_rate.normalize(), "f"),
            population=sample.population,
            size=sample.size,
            allowed_errors=sample.allowed_errors,
            seed=sample.seed,
            seed_chosen=sample.seed_chosen,
            draw_format=DRAW_FORMAT,
            items=items_digest(drawn),
        ),
        actor=sample.drawn_by,
    )
