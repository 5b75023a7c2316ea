"""An auditor draws, judges and concludes: what is drawn, what is shown of it, what is refused, and what stays as it was written."""

from datetime import timedelta
from decimal import Decimal
from hashlib import sha256
from typing import Any

import psycopg
import pytest
from django.contrib.auth.models import User
from django.db import DatabaseError, connection, transaction

from audit.errors import Refused
from audit.models import AuditEntry
from audit.permission import NotPermitted
from remediation.apply import Tampered, start_apply
from remediation.audit_sample import (
    NotAllJudged,
    NotApplied,
    OwnCase,
    SeedImpossible,
    VerdictIncomplete,
    conclude_sample,
    draw_sample,
    positions_of,
    record_verdict,
)
from remediation.control import cancel_job
from remediation.drawing import AppliedCorrections, draw_positions
from remediation.models import (
    AuditSample,
    AuditSampleConclusion,
    AuditSampleItem,
    AuditSampleVerdict,
    Job,
    Outcome,
    Plan,
)
from remediation.recomputation import ItemCheck, Recomputed, check_items
from remediation.revert import request_revert
from remediation.runner import work
from remediation.sample_report import report_of
from tests.conftest import UserFactory
from tests.remediation.driving import applied, approved, previewed, work_until_ended
from tests.remediation.incident import START, recalculate, report
from tests.remediation.tampering import tamper
from transactions.calculators import calculator

pytestmark = pytest.mark.usefixtures("committed_db")

Verdict = AuditSampleVerdict.Verdict


@pytest.fixture
def auditor(users: UserFactory) -> User:
    return users("auditor")


def corrected(engineer: User, approver: User, count: int = 60, **options: Any) -> tuple[Job, list[int]]:
    ids = report(count)
    return applied(approved(previewed(engineer, **options), approver), engineer), ids


def drawn(
    job: Job, auditor: User, *, tolerable: str = "0.05", seed: str = "2026-03", **options: Any
) -> AuditSample:
    return draw_sample(
        job,
        acting_user=auditor,
        confidence=Decimal("0.95"),
        tolerable_rate=Decimal(tolerable),
        seed=seed,
        **options,
    )


def checked(sample: AuditSample) -> list[ItemCheck]:
    found = check_items(list(sample.items.all()))
    assert all(isinstance(each, ItemCheck) for each in found)
    return [each for each in found if isinstance(each, ItemCheck)]


def test_a_sample_is_drawn_shown_judged_and_concluded(engineer: User, approver: User, auditor: User) -> None:
    job, ids = corrected(engineer, approver)
    sample = drawn(job, auditor)
    # 60 corrections of which 3 may not be wrong: (60-n)(59-n)(58-n) / (60*59*58) is at most 5 % from n = 38 on.
    assert (sample.population, sample.size, sample.allowed_errors) == (60, 38, 0)
    items = list(sample.items.all())
    assert [item.number for item in items] == list(range(1, 39))
    assert [item.position for item in items] == positions_of(sample)
    # With one plan chunk and no conflict, a position is a place in the order of transactions.
    assert [item.transaction_id for item in items] == [sorted(ids)[item.position] for item in items]
    entry = AuditEntry.objects.get(event="sample.drawn")
    assert (entry.actor_label, entry.data["seed"], entry.data["population"], entry.data["size"]) == (
        "test-auditor",
        "2026-03",
        60,
        38,
    )
    for check in checked(sample):
        net = 1000 + ids.index(check.transaction.pk)
        assert check.recomputed == Recomputed.AGREES
        assert check.amounts == {"net": net, "fee": net * 2 // 100, "total": net + net * 2 // 100}
        assert (check.before.total, check.after.total) == (net + net // 100, net + net * 2 // 100)
        assert (check.problems, check.stands, check.on_it) == ([], "It stands on the correction.", True)
    for item in items[:-1]:
        record_verdict(item, Verdict.CORRECT, acting_user=auditor)
    with pytest.raises(NotAllJudged, match="1 of 38 corrections wait"):
        conclude_sample(sample, acting_user=auditor)
    record_verdict(items[-1], Verdict.CORRECT, acting_user=auditor)
    conclusion = conclude_sample(sample, acting_user=auditor, comment="Fine.")
    assert conclusion.accepted
    assert conclusion.report["in_words"] == (
        "Accepted: 0 errors among 38 drawn of 60 corrections, 0 allowed. With 95\N{NO-BREAK SPACE}% confidence at most 2 of 60 are "
        "wrong (3.3334\N{NO-BREAK SPACE}%), less than the tolerable 5\N{NO-BREAK SPACE}%."
    )
    assert conclude_sample(sample, acting_user=auditor).pk == conclusion.pk
    said = AuditEntry.objects.get(event="sample.concluded")
    assert (said.data["accepted"], said.data["report"], said.reason) == (True, conclusion.report, "Fine.")
    assert AuditEntry.objects.filter(event="sample.verdict_recorded").count() == 38


def test_errors_are_projected_in_money_by_currency_and_the_population_is_not_accepted(
    engineer: User, approver: User, auditor: User
) -> None:
    report(40)
    report(20, first=100, currency="JPY", scale=0, start=START + timedelta(hours=1))
    job = applied(approved(previewed(engineer), approver), engineer)
    sample = drawn(job, auditor)
    items = list(sample.items.select_related("transaction", "calculation", "replaces"))
    dollars = [item for item in items if item.transaction.currency == "USD"]
    yen = [item for item in items if item.transaction.currency == "JPY"]
    assert len(dollars) + len(yen) == 38
    too_high, too_low, unknown = dollars[0], dollars[1], yen[0]
    for item in items:
        record_verdict(item, Verdict.CORRECT, acting_user=auditor)
    record_verdict(
        too_high,
        Verdict.WRONG,
        right_total=too_high.calculation.total - 7,
        comment="The fee has a cap.",
        acting_user=auditor,
    )
    record_verdict(
        too_low,
        Verdict.WRONG,
        right_total=too_low.calculation.total + 2,
        comment="Rounded down.",
        acting_user=auditor,
    )
    record_verdict(unknown, Verdict.CANNOT_TELL, comment="The contract is lost.", acting_user=auditor)
    found = report_of(sample)
    assert (found.correct, found.wrong, found.cannot_tell, found.errors) == (35, 2, 1, 3)
    assert found.accepted is False
    assert found.projected_errors == 5  # 60 * 3 / 38 = 4.7
    money = {each.currency: each for each in found.money}
    assert (money["USD"].found, money["USD"].found_absolute, money["USD"].errors) == (5, 9, 2)
    assert (money["USD"].projected, money["USD"].projected_absolute) == (8, 14)  # 5 and 9, times 60 / 38
    # Of what cannot be told, all that it was corrected by counts.
    delta = unknown.calculation.total - unknown.replaces.total
    assert (
        delta
        == (1000 + int(unknown.transaction.reference[2:])) * 2 // 100
        - (1000 + int(unknown.transaction.reference[2:])) // 100
    )
    assert money["JPY"].found == delta
    assert money["JPY"].corrected_by == sum(
        (1000 + n) * 2 // 100 - (1000 + n) // 100 for n in range(100, 120)
    )
    conclusion = conclude_sample(sample, acting_user=auditor)
    assert not conclusion.accepted
    assert conclusion.report["in_words"].startswith(
        "Not accepted: 3 errors among 38 drawn of 60 corrections, 0 allowed."
    )


def test_the_same_seed_draws_the_same_and_a_smaller_sample_is_the_beginning_of_a_larger() -> None:
    digest = sha256(b"a plan").digest()

    def draw(seed: str, size: int, population: int = 10_000_000, job: int = 7) -> list[int]:
        return draw_positions(seed=seed, job=job, plan_digest=digest, population=population, size=size)

    long = draw("a", 500)
    assert draw("a", 500) == long
    assert draw("a", 100) == long[:100]
    assert len(set(long)) == 500
    assert min(long) >= 0
    assert max(long) < 10_000_000
    # Another job or seed draws others: of 500 in ten million two draws share one in forty times.
    assert set(long).isdisjoint(draw("a", 500, job=8))
    assert set(long).isdisjoint(draw("b", 500))
    assert sorted(draw("all", 300, population=300)) == list(range(300))


def test_a_second_implementation_of_the_documented_draw_agrees() -> None:
    digest = sha256(b"another plan").digest()

    def netstring(text: str) -> bytes:
        return str(len(text.encode())).encode() + b":" + text.encode() + b","

    def redraw(seed: str, job: int, population: int, size: int) -> list[int]:
        found: list[int] = []
        index = 0
        while len(found) < size:
            texts = ["sample/1", seed, str(job), digest.hex(), str(index)]
            number = int(sha256(b"".join(netstring(each) for each in texts)).hexdigest()[:16], 16)
            index += 1
            if number < (2**64 // population) * population and number % population not in found:
                found.append(number % population)
        return found

    for seed, job, population, size in (
        ("münze 🪙", 1, 400_000, 300),
        ("2", 99, 17, 17),
        ("3", 5, 3 * 2**62, 50),
    ):
        assert draw_positions(
            seed=seed, job=job, plan_digest=digest, population=population, size=size
        ) == redraw(seed, job, population, size)


def test_every_position_has_the_same_chance() -> None:
    """Chi-square over 4,000 seeds: how often each of 50 positions is among 5 drawn, and how often each is drawn first."""
    digest = sha256(b"uniform").digest()
    among, first = [0] * 50, [0] * 50
    for seed in range(4000):
        positions = draw_positions(seed=str(seed), job=1, plan_digest=digest, population=50, size=5)
        first[positions[0]] += 1
        for position in positions:
            among[position] += 1
    # 99.99 % of chi-square with 49 degrees of freedom is 96. Drawn without replacement the counts vary by 45/49 less.
    assert sum((seen - 80) ** 2 / 80 for seen in first) < 96
    assert sum((seen - 400) ** 2 / 400 for seen in among) * 49 / 45 < 96


def test_a_large_population_is_met_everywhere_alike() -> None:
    positions = draw_positions(
        seed="deciles", job=1, plan_digest=sha256(b"").digest(), population=10_000_000, size=10_000
    )
    tenths = [0] * 10
    for position in positions:
        tenths[position // 1_000_000] += 1
    # 99.99 % of chi-square with 9 degrees of freedom is 33.7.
    assert sum((seen - 1000) ** 2 / 1000 for seen in tenths) < 33.7


def test_conflicts_and_rows_that_were_not_applied_are_never_drawn(
    engineer: User, approver: User, auditor: User, settings: Any
) -> None:
    settings.AMENDS_PLAN_CHUNK_ROWS = 10
    ids = report(60)
    plan = approved(previewed(engineer), approver)
    for moved in (ids[0], ids[13], ids[14], ids[29], ids[31]):
        recalculate(moved, fee_percent=3, at=START + timedelta(days=1))
    job = start_apply(plan, acting_user=engineer, stages=[25])
    work(job.pk, worker="test")
    job.refresh_from_db()
    if not job.ended:
        cancel_job(job, acting_user=engineer, reason="Enough.")
        job.refresh_from_db()
    corrections = AppliedCorrections(job)
    everything = corrections.at(range(len(corrections)))
    conflicts = set(Outcome.objects.filter(job=job, kind="conflict").values_list("transaction_id", flat=True))
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT current.transaction_id FROM transactions_currentcalculation current"
            " JOIN transactions_calculation c ON c.id = current.calculation_id WHERE c.plan_chunk_id IS NOT NULL"
        )
        really = {known for (known,) in cursor.fetchall()}
    assert conflicts
    assert {each.transaction for each in everything.values()} == really
    assert [each.position for _, each in sorted(everything.items())] == list(range(len(corrections)))
    sample = drawn(job, auditor, tolerable="0.01")
    assert sample.size >= len(really) - 2
    assert set(sample.items.values_list("transaction_id", flat=True)) <= really
    assert all(check.recomputed == Recomputed.AGREES and not check.problems for check in checked(sample))


def test_a_job_that_is_not_over_or_applies_nothing_has_no_sample(
    engineer: User, approver: User, auditor: User
) -> None:
    report(5)
    plan = approved(previewed(engineer), approver)
    with pytest.raises(NotApplied, match="applies nothing"):
        drawn(plan.jobs.get(kind="preview"), auditor)
    job = start_apply(plan, acting_user=engineer)
    with pytest.raises(NotApplied, match="has not ended"):
        drawn(job, auditor)
    cancel_job(job, acting_user=engineer, reason="No.")
    job.refresh_from_db()
    with pytest.raises(Refused, match="no correction of this job was applied"):
        drawn(job, auditor)
    assert not AuditSample.objects.exists()


def test_only_auditors_draw_and_judge_and_nobody_their_own_case(
    engineer: User, approver: User, auditor: User, users: UserFactory
) -> None:
    job, _ = corrected(engineer, approver, 5)
    for role in ("support", "engineer", "approver", "administrator"):
        with pytest.raises(NotPermitted, match="draw audit samples and judge what is drawn"):
            drawn(job, users(role, name=f"other-{role}"))
    sample = drawn(job, auditor)
    item = sample.items.all()[0]
    with pytest.raises(NotPermitted):
        record_verdict(item, Verdict.CORRECT, acting_user=users("engineer", name="other-engineer"))
    for person, part in ((engineer, "opened or edited the case"), (approver, "decided on a plan")):
        person.groups.add(auditor.groups.get())
        both = User.objects.get(pk=person.pk)
        with pytest.raises(OwnCase, match=part):
            drawn(job, both, seed="mine")
        with pytest.raises(OwnCase, match=part):
            record_verdict(item, Verdict.CORRECT, acting_user=both)
        with pytest.raises(OwnCase, match=part):
            conclude_sample(sample, acting_user=both)
        # The database refuses it too, whatever code asks.
        with pytest.raises(DatabaseError, match="does not judge its corrections"), transaction.atomic():
            AuditSampleVerdict.objects.create(item=item, verdict="correct", shown={}, recorded_by=both)
    assert AuditSample.objects.count() == 1
    assert not AuditSampleVerdict.objects.exists()


def test_asked_twice_it_is_one_sample_and_without_a_seed_the_one_that_waits(
    engineer: User, approver: User, auditor: User, users: UserFactory
) -> None:
    job, _ = corrected(engineer, approver, 10)
    assert drawn(job, auditor).pk == drawn(job, auditor).pk
    by_chance = drawn(job, auditor, seed="")
    assert len(by_chance.seed) == 32
    assert not by_chance.seed_chosen
    assert drawn(job, auditor, seed="").pk == by_chance.pk
    assert drawn(job, users("auditor", name="second"), seed="").seed != by_chance.seed
    record_verdict(by_chance.items.all()[0], Verdict.CORRECT, acting_user=auditor)
    assert drawn(job, auditor, seed="").seed != by_chance.seed
    assert AuditEntry.objects.filter(event="sample.drawn").count() == 4
    with pytest.raises(SeedImpossible):
        drawn(job, auditor, seed="x" * 201)
    with pytest.raises(SeedImpossible):
        drawn(job, auditor, seed="a\nb")
    with pytest.raises(Refused, match="digits"):
        drawn(job, auditor, tolerable="0.012345678901")


def test_other_code_of_the_calculator_is_said_and_nothing_is_recomputed(
    engineer: User, approver: User, auditor: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    job, _ = corrected(engineer, approver, 3)
    sample = drawn(job, auditor)
    monkeypatch.setitem(calculator("fee", "2.0.0").__dict__, "code_digest", "0" * 64)
    for check in checked(sample):
        assert (check.recomputed, check.amounts) == (Recomputed.OTHER_CODE, None)
        assert "is not the one that" in check.meaning
    recorded = record_verdict(
        sample.items.all()[0], Verdict.CANNOT_TELL, comment="No code.", acting_user=auditor
    )
    assert recorded.shown["recomputed"] == "other_code"
    assert recorded.shown["amounts"] is None


def test_changed_rows_are_shown_where_they_were_changed(
    engineer: User, approver: User, auditor: User, owner_connection: "psycopg.Connection[Any]"
) -> None:
    job, _ = corrected(engineer, approver, 4)
    sample = drawn(job, auditor)
    result, facts, replaced, pointer = sample.items.all()
    tamper(
        owner_connection,
        "UPDATE transactions_calculation SET amounts = jsonb_set(amounts, '{total}', '1'), total = 1"
        f" WHERE id = {result.calculation_id}",
    )
    tamper(
        owner_connection,
        f'UPDATE transactions_transaction SET inputs = \'{{"net": "1.00"}}\' WHERE id = {facts.transaction_id}',
    )
    tamper(
        owner_connection,
        f"UPDATE transactions_calculation SET amounts = jsonb_set(amounts, '{{fee}}', '3') WHERE id = {replaced.replaces_id}",
    )
    tamper(
        owner_connection,
        f"UPDATE transactions_currentcalculation SET calculation_id = calculation_id + 999999"
        f" WHERE transaction_id = {pointer.transaction_id}",
    )
    found = checked(sample)
    assert found[0].recomputed == Recomputed.DIFFERS
    assert [each[:30] for each in found[0].problems] == ["Its rows do not hash to the le"]
    # Facts that were changed no longer lead to the correction, and no longer have their hash; the leaf covers the hash alone.
    assert found[1].recomputed == Recomputed.DIFFERS
    assert found[1].amounts == {"net": 100, "fee": 2, "total": 102}
    assert [each[:9] for each in found[1].problems] == ["Its facts"]
    # What it replaced is in the leaf, too.
    assert (found[2].recomputed, [each[:8] for each in found[2].problems]) == (
        Recomputed.AGREES,
        ["Its rows"],
    )
    assert found[3].problems == []
    assert found[3].stands == "It stands on a calculation that this correction does not lead to."
    assert not found[3].on_it
    recorded = record_verdict(
        result, Verdict.WRONG, right_total=1020, comment="Somebody changed it.", acting_user=auditor
    )
    assert recorded.wrong_by == 1 - 1020
    assert recorded.shown["recomputed"] == "differs"
    assert AuditEntry.objects.get(event="sample.verdict_recorded").data["shown"] == recorded.shown


def test_a_leaf_that_was_exchanged_and_a_row_that_is_gone_are_shown(
    engineer: User, approver: User, auditor: User, owner_connection: "psycopg.Connection[Any]"
) -> None:
    job, _ = corrected(engineer, approver, 4)
    sample = drawn(job, auditor)
    leaf, gone = sample.items.all()[:2]
    chunk = leaf.job_chunk.plan_chunk_id
    tamper(
        owner_connection,
        "UPDATE remediation_planchunkleaves SET leaves = overlay(leaves PLACING decode(repeat('00', 32), 'hex')"
        f" FROM {leaf.leaf_number * 32 + 1}) WHERE plan_chunk_id = {chunk}",
    )
    tamper(owner_connection, f"DELETE FROM transactions_transaction WHERE id = {gone.transaction_id}")
    found = check_items(list(sample.items.all()))
    assert [each[:23] for each in found[0].problems] == ["The leaf stored with th", "The leaves of its chunk"]
    assert found[1].gone
    assert "is not there any more" in found[1].problems[0]
    with pytest.raises(VerdictIncomplete, match="not there any more"):
        record_verdict(gone, Verdict.CORRECT, acting_user=auditor)
    record_verdict(gone, Verdict.CANNOT_TELL, comment="It is gone.", acting_user=auditor)
    for item in sample.items.exclude(pk=gone.pk):
        record_verdict(item, Verdict.CORRECT, acting_user=auditor)
    assert report_of(sample).cannot_tell == 1
    assert report_of(sample).accepted is False


def test_a_chunk_whose_rows_are_not_as_many_as_it_says_is_not_drawn_from(
    engineer: User, approver: User, auditor: User, owner_connection: "psycopg.Connection[Any]"
) -> None:
    job, ids = corrected(engineer, approver, 20)
    tamper(
        owner_connection,
        "INSERT INTO remediation_outcome (job_id, plan_chunk_id, transaction_id, kind, reason, detail)"
        f" SELECT {job.pk}, plan_chunk_id, {ids[0]}, 'conflict', 'made up', '{{}}' FROM remediation_jobchunk"
        f" WHERE job_id = {job.pk} LIMIT 1",
    )
    with pytest.raises(Tampered, match="its rows say otherwise"):
        drawn(job, auditor)
    assert not AuditSample.objects.exists()


def test_a_plan_that_is_not_what_was_approved_is_not_drawn_from(
    engineer: User, approver: User, auditor: User, owner_connection: "psycopg.Connection[Any]"
) -> None:
    job, _ = corrected(engineer, approver, 5)
    tamper(
        owner_connection,
        f"UPDATE remediation_planchunk SET unchanged = 7, scanned = scanned + 7 WHERE plan_id = {job.plan_id}",
    )
    with pytest.raises(Tampered, match="not what its digest says"):
        drawn(job, auditor)


def test_where_a_transaction_stands_now_is_said(engineer: User, approver: User, auditor: User) -> None:
    job, _ = corrected(engineer, approver, 3)
    sample = drawn(job, auditor)
    assert job.plan is not None
    revert = request_revert(job.plan.case, acting_user=engineer, reason="Read wrongly.")
    work_until_ended(revert.jobs.get(kind="preview"))
    revert.refresh_from_db()
    back = applied(approved(revert, approver), engineer)
    assert {check.stands for check in checked(sample)} == {
        "The correction was taken back: it stands where it stood before."
    }
    # What a revert restored was reported by its service: there is nothing here to recompute it with, and that is said.
    restored = checked(drawn(back, auditor))
    assert {check.recomputed for check in restored} == {Recomputed.REPORTED}
    assert all(check.amounts is None and check.on_it and not check.problems for check in restored)
    again = request_revert(job.plan.case, acting_user=engineer, reason="It was right.", plan=revert)
    work_until_ended(again.jobs.get(kind="preview"))
    again.refresh_from_db()
    assert again.kind == Plan.Kind.REAPPLY
    reapplied = checked(drawn(applied(approved(again, approver), engineer), auditor))
    # What a reapply points at was proposed by the first plan, whose calculator is asked.
    assert {check.recomputed for check in reapplied} == {Recomputed.AGREES}
    assert all(check.on_it for check in checked(sample))


def test_a_verdict_says_what_its_kind_needs_and_a_changed_mind_is_a_new_row(
    engineer: User, approver: User, auditor: User
) -> None:
    job, _ = corrected(engineer, approver, 3)
    sample = drawn(job, auditor)
    item = sample.items.all()[0]
    for verdict, options, said in (
        (Verdict.WRONG, {"comment": "Too high."}, "what the total should be"),
        (Verdict.WRONG, {"right_total": 5}, "what is wrong"),
        (Verdict.CANNOT_TELL, {"comment": "  "}, "why it cannot be told"),
        (Verdict.CORRECT, {"right_total": 5}, "Only a wrong correction"),
    ):
        with pytest.raises(VerdictIncomplete, match=said):
            record_verdict(item, verdict, acting_user=auditor, **options)  # type: ignore[arg-type]
    first = record_verdict(item, Verdict.CORRECT, acting_user=auditor)
    assert record_verdict(item, Verdict.CORRECT, acting_user=auditor).pk == first.pk
    second = record_verdict(
        item,
        Verdict.WRONG,
        right_total=item.calculation.total,
        comment="The total is right, the fee is not.",
        acting_user=auditor,
    )
    assert [each.verdict for each in item.verdicts.all()] == ["correct", "wrong"]
    assert second.wrong_by == 0
    entry = AuditEntry.objects.filter(event="sample.verdict_recorded").latest("pk")
    assert (entry.data["was"], entry.data["verdict"], entry.data["wrong_by"], entry.data["money"]) == (
        "correct",
        "wrong",
        0,
        "USD:2",
    )
    for other in sample.items.exclude(pk=item.pk):
        record_verdict(other, Verdict.CORRECT, acting_user=auditor)
    assert not conclude_sample(sample, acting_user=auditor).accepted
    record_verdict(item, Verdict.CORRECT, comment="The fee is right after all.", acting_user=auditor)
    assert conclude_sample(sample, acting_user=auditor).accepted
    assert [each.accepted for each in sample.conclusions.all()] == [False, True]


def test_what_was_written_stays_and_nothing_can_be_slipped_in(
    engineer: User, approver: User, auditor: User, owner_connection: "psycopg.Connection[Any]"
) -> None:
    job, ids = corrected(engineer, approver, 60)
    sample = drawn(job, auditor)
    item = sample.items.all()[0]
    record_verdict(item, Verdict.CORRECT, acting_user=auditor)
    tables = [
        model._meta.db_table
        for model in (AuditSample, AuditSampleItem, AuditSampleVerdict, AuditSampleConclusion)
    ]
    for table in tables:
        for statement in (f"UPDATE {table} SET id = id", f"DELETE FROM {table}", f"TRUNCATE {table} CASCADE"):
            with pytest.raises(DatabaseError), transaction.atomic(), connection.cursor() as cursor:
                cursor.execute(statement)
    for table in tables[:3]:
        for statement in (f"UPDATE {table} SET id = id", f"DELETE FROM {table}", f"TRUNCATE {table} CASCADE"):
            with pytest.raises(psycopg.errors.InsufficientPrivilege, match="append-only"):
                owner_connection.execute(statement)
    left_out = next(known for known in ids if not sample.items.filter(transaction_id=known).exists())
    copied = {
        "sample": sample,
        "position": 59,
        "job_chunk": item.job_chunk,
        "leaf_number": item.leaf_number,
        "leaf": item.leaf,
        "calculation_id": item.calculation_id,
        "replaces_id": item.replaces_id,
    }
    for slipped_in in (
        copied | {"number": 39, "transaction_id": left_out},
        copied | {"number": 1, "transaction_id": left_out},
    ):
        with pytest.raises(DatabaseError, match="is no correction that the job"), transaction.atomic():
            AuditSampleItem.objects.create(**slipped_in)
    with pytest.raises(DatabaseError, match="without a verdict"), transaction.atomic():
        AuditSampleConclusion.objects.create(
            sample=sample,
            accepted=True,
            last_verdict=AuditSampleVerdict.objects.get(),
            report={},
            concluded_by=auditor,
        )
    assert sample.items.count() == 38
