"""Whether the code of the suspect releases makes the recorded amounts again: where it does, a cause is proved and not guessed."""

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from random import Random
from secrets import randbits
from typing import Any

from remediation.causes import parts_of
from remediation.models import Plan
from remediation.plan_rows import RowFilter, rows_ranked
from transactions.confidence import Share, share_interval
from transactions.explanation import Explanation, Reproduction, explain_all
from transactions.models import Calculation

SAMPLE_SIZE = 100
CHUNKS_OF_A_SAMPLE = 12
"""A sample of a plan with more chunks than that is drawn from so many of them."""
SECONDS = 5.0
MOST_SHOWN = 5


@dataclass(frozen=True)
class Proof:
    """What the suspect releases' code made of some recorded calculations."""

    asked: int
    counts: Counter[Reproduction] = field(default_factory=Counter)

    @property
    def reproduced(self) -> int:
        """How many of them it made again, to the unit."""
        return self.counts[Reproduction.REPRODUCED]

    @property
    def no_code(self) -> int:
        """Of how many the code is not here."""
        return self.counts[Reproduction.NO_CODE]

    @property
    def unknown(self) -> int:
        """Of how many nothing can be said: the code is not here, or cannot answer just now."""
        return self.no_code + self.counts[Reproduction.UNAVAILABLE]

    @property
    def proved(self) -> bool:
        """Whether all were made again."""
        return 0 < self.asked == self.reproduced


@dataclass(frozen=True)
class SampleProof(Proof):
    """A random sample of a cause's `population` rows, from `chunks` of the `of_chunks` chunks that have any; `seed` draws it again.

    `share` is how many of all rows are reproduced, with its 95% interval; None where not every row had the same chance.
    """

    population: int = 0
    seed: int = 0
    chunks: int = 0
    of_chunks: int = 0
    share: Share | None = None
    others: list[Explanation] = field(default_factory=list)


def proof_of(explanations: Iterable[Explanation]) -> Proof:
    """What some explanations prove together."""
    counts = Counter(each.reproduction for each in explanations)
    return Proof(counts.total(), counts)


def prove_causes(plan: Plan, causes: Sequence[dict[str, Any]]) -> dict[str, Proof]:
    """By cause (as `remediation.causes.merge_causes` tells them), what the suspect releases' code makes of its examples."""
    proposals = example_proposals(plan, causes)
    replaced = [each.replaces for each in proposals.values() if each.replaces is not None]
    told = {each.calculation.transaction_id: each for each in explain_all(replaced, with_steps=False)}
    return {
        cause["cause"]: proof_of(told[known] for known, _, _ in cause["examples"] if known in told)
        for cause in causes
    }


def example_proposals(plan: Plan, causes: Sequence[dict[str, Any]]) -> dict[int, Calculation]:
    """By transaction, what the plan proposes for each example of `causes`, with what it replaces and both releases."""
    examples = {known for cause in causes if parts_of(cause["cause"]) for known, _, _ in cause["examples"]}
    proposals = Calculation.objects.filter(
        transaction_id__in=examples,
        batch__isnull=True,
        plan_chunk_id__in=list(plan.chunks.values_list("pk", flat=True)),
    )
    fetched = proposals.select_related("release", "replaces__release", "transaction__store")
    return {each.transaction_id: each for each in fetched}


def prove_sample(
    plan: Plan, cause: str, *, size: int = SAMPLE_SIZE, seed: int | None = None, seconds: float = SECONDS
) -> SampleProof:
    """Ask the suspect releases' code for a random sample of a cause's rows. The same `seed` draws the same rows."""
    seed = randbits(31) if seed is None else seed
    chance = Random(seed)  # noqa: S311 (drawn again by whoever doubts it, not hidden from anybody)
    stored = plan.chunks.filter(causes__has_key=cause).order_by("position").values_list("pk", "causes")
    counts = {known: int(causes[cause]["count"]) for known, causes in stored if causes}
    drawn_from = sorted(counts)
    if len(counts) > CHUNKS_OF_A_SAMPLE:
        drawn_from = sorted(chance.sample(drawn_from, CHUNKS_OF_A_SAMPLE))
    there = sum(counts[known] for known in drawn_from)
    ranks = sorted(chance.sample(range(there), min(size, there)))
    ids = rows_ranked(drawn_from, RowFilter(cause=cause), ranks)
    proposals = Calculation.objects.filter(pk__in=ids).select_related(
        "replaces__release", "replaces__transaction"
    )
    replaced = [each.replaces for each in proposals.order_by("transaction_id") if each.replaces is not None]
    told = explain_all(replaced, seconds=seconds, with_steps=False)
    proof = proof_of(told)
    population = sum(counts.values())
    alike = len(drawn_from) == len(counts)
    return SampleProof(
        asked=proof.asked,
        counts=proof.counts,
        population=population,
        seed=seed,
        chunks=len(drawn_from),
        of_chunks=len(counts),
        share=share_interval(proof.reproduced, proof.asked, population) if alike else None,
        others=[each for each in told if each.reproduction != Reproduction.REPRODUCED][:MOST_SHOWN],
    )
