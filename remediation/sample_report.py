"""What a sample's verdicts say of all corrections of its job: errors, their projected rate and its limit, money, and the conclusion
in words.

Money is projected by the mean error per drawn correction times the population (mean-per-unit, of the differences; AICPA's “Audit
Sampling” calls it difference estimation), each currency for itself. Not by a ratio: the changes have either sign, so that the sum
they would be held against may be next to nothing, and an error need not grow with its correction.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

from django.utils import translation
from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from remediation.attribute_sampling import allowed_errors, clopper_pearson_limit, most_errors
from remediation.models import AuditSample, AuditSampleVerdict, JobChunk
from remediation.money import add_money, money_key
from transactions.models import Calculation, Transaction

_HUNDRED_PERCENT_DIGITS = 4


@dataclass(frozen=True)
class ProjectedMoney:
    """What is misstated of one currency and scale, in smallest units: positive where corrected totals are too high.

    `found` and `projected` are net; of `found_absolute` and `projected_absolute` errors of either sign do not cancel. `errors` drawn
    corrections are in it; `corrected_by` is what the job added to the totals.
    """

    currency: str
    scale: int
    errors: int
    found: int
    found_absolute: int
    projected: int
    projected_absolute: int
    corrected_by: int


@dataclass(frozen=True)
class SampleReport:
    """A sample's outcome so far; `accepted` and the limits are None as long as corrections wait for a verdict.

    A correction of which the auditor cannot tell counts as an error (ISA 530, 11), by the whole of what it changed. Rates are shares
    of 1; `at_most` is how many of the population are wrong at most, with the sample's confidence, and `limit_of_many` Clopper and
    Pearson's limit for a population without end, as published tables have it.
    """

    sample: AuditSample
    correct: int
    wrong: int
    cannot_tell: int
    last_verdict: int | None
    money: list[ProjectedMoney]
    at_most: int | None
    limit_of_many: Fraction | None
    accepted: bool | None

    @property
    def judged(self) -> int:
        """Drawn corrections with a verdict."""
        return self.correct + self.wrong + self.cannot_tell

    @property
    def waiting(self) -> int:
        """Drawn corrections without one."""
        return self.sample.size - self.judged

    @property
    def errors(self) -> int:
        """What counts against the population."""
        return self.wrong + self.cannot_tell

    @property
    def too_many_already(self) -> bool:
        """Whether it cannot be accepted any more, whatever the rest shows."""
        return self.errors > self.sample.allowed_errors

    @property
    def rate(self) -> Fraction:
        """The projected error rate: that of the judged ones."""
        return Fraction(self.errors, self.judged) if self.judged else Fraction(0)

    @property
    def projected_errors(self) -> int:
        """So many of the population, at that rate; a half is rounded up."""
        return _rounded(self.rate * self.sample.population)

    @property
    def limit(self) -> Fraction | None:
        """The upper limit of the error rate."""
        return None if self.at_most is None else Fraction(self.at_most, self.sample.population)

    @property
    def in_words(self) -> str:
        """The conclusion, in sentences of the reader's language."""
        if self.accepted is None:
            return self.grounds
        said = _("Accepted: %(grounds)s") if self.accepted else _("Not accepted: %(grounds)s")
        return said % {"grounds": self.grounds}

    @property
    def grounds(self) -> str:
        """What the conclusion stands on, or how far the sample is, in sentences of the reader's language."""
        sample = self.sample
        counts = {
            "errors": f"{self.errors:,}",
            "allowed": f"{sample.allowed_errors:,}",
            "size": f"{sample.size:,}",
            "population": f"{sample.population:,}",
        }
        if self.accepted is None or self.at_most is None or self.limit is None:
            said = ngettext(
                "%(waiting)s of %(size)s corrections wait for a verdict; %(errors)s error so far, %(allowed)s allowed.",
                "%(waiting)s of %(size)s corrections wait for a verdict; %(errors)s errors so far, %(allowed)s allowed.",
                self.errors,
            ) % {**counts, "waiting": f"{self.waiting:,}"}
            return f"{said} {_('It cannot be accepted any more.')}" if self.too_many_already else said
        among = ngettext(
            "%(errors)s error among %(size)s drawn of %(population)s corrections, %(allowed)s allowed.",
            "%(errors)s errors among %(size)s drawn of %(population)s corrections, %(allowed)s allowed.",
            self.errors,
        )
        most = (
            _(
                "With %(confidence)s confidence at most %(most)s of %(population)s are wrong (%(limit)s), "
                "less than the tolerable %(tolerable)s."
            )
            if self.accepted
            else _(
                "With %(confidence)s confidence at most %(most)s of %(population)s are wrong (%(limit)s), "
                "which does not rule out the tolerable %(tolerable)s or more."
            )
        )
        limits = {
            "confidence": percent(Fraction(sample.confidence)),
            "most": f"{self.at_most:,}",
            "limit": percent(self.limit, up=True),
            "tolerable": percent(Fraction(sample.tolerable_rate)),
        }
        return f"{among % counts} {most % {**counts, **limits}}"

    def as_json(self) -> dict[str, Any]:
        """As a conclusion and the trail keep it, in English; rates as decimal texts in percent, money in whole smallest units by
        "USD:2".
        """
        with translation.override("en"):
            in_english = self.in_words
        return {
            "population": self.sample.population,
            "size": self.sample.size,
            "correct": self.correct,
            "wrong": self.wrong,
            "cannot_tell": self.cannot_tell,
            "waiting": self.waiting,
            "errors": self.errors,
            "allowed_errors": self.sample.allowed_errors,
            "rate_percent": _decimal(self.rate),
            "projected_errors": self.projected_errors,
            "at_most": self.at_most,
            "limit_percent": None if self.limit is None else _decimal(self.limit, up=True),
            "limit_of_many_percent": None
            if self.limit_of_many is None
            else _decimal(self.limit_of_many, up=True),
            "accepted": self.accepted,
            "in_words": in_english,
            "money": {
                money_key(each.currency, each.scale): {
                    "errors": each.errors,
                    "found": each.found,
                    "found_absolute": each.found_absolute,
                    "projected": each.projected,
                    "projected_absolute": each.projected_absolute,
                    "corrected_by": each.corrected_by,
                }
                for each in self.money
            },
        }


def report_of(sample: AuditSample) -> SampleReport:
    """What the newest verdicts on the sample's corrections say."""
    verdicts = list(
        AuditSampleVerdict.objects.filter(item__sample=sample)
        .order_by("item_id", "-pk")
        .distinct("item_id")
        .defer("shown")
        .select_related("item")
    )
    counts = {kind: sum(each.verdict == kind for each in verdicts) for kind in AuditSampleVerdict.Verdict}
    wrong, cannot_tell = (
        counts[AuditSampleVerdict.Verdict.WRONG],
        counts[AuditSampleVerdict.Verdict.CANNOT_TELL],
    )
    confidence, errors = Fraction(sample.confidence), wrong + cannot_tell
    whole = len(verdicts) == sample.size
    return SampleReport(
        sample,
        correct=counts[AuditSampleVerdict.Verdict.CORRECT],
        wrong=wrong,
        cannot_tell=cannot_tell,
        last_verdict=max((each.pk for each in verdicts), default=None),
        money=_money(sample, verdicts),
        at_most=most_errors(sample.population, sample.size, errors, confidence=confidence) if whole else None,
        limit_of_many=clopper_pearson_limit(sample.size, errors, confidence=confidence) if whole else None,
        accepted=errors <= _allowed(sample) if whole else None,
    )


def _allowed(sample: AuditSample) -> int:
    """As it was when the sample was drawn, worked out anew."""
    return allowed_errors(
        sample.population,
        sample.size,
        confidence=Fraction(sample.confidence),
        tolerable=Fraction(sample.tolerable_rate),
    )


def _money(sample: AuditSample, verdicts: list[AuditSampleVerdict]) -> list[ProjectedMoney]:
    results = sample.job.chunks.filter(status=JobChunk.Status.DONE).values_list("result", flat=True)
    corrected = add_money(result["money"] for result in results if result)
    found: dict[str, list[int]] = {key: [] for key in corrected}
    for key, off_by in _off_by(verdicts):
        found.setdefault(key, []).append(off_by)
    factor = Fraction(sample.population, len(verdicts)) if verdicts else Fraction(0)
    projected = []
    for key, amounts in sorted(found.items()):
        currency, _, scale = key.partition(":")
        net, absolute = sum(amounts), sum(map(abs, amounts))
        projected.append(
            ProjectedMoney(
                currency,
                int(scale),
                errors=len(amounts),
                found=net,
                found_absolute=absolute,
                projected=_rounded(factor * net),
                projected_absolute=_rounded(factor * absolute),
                corrected_by=corrected.get(key, 0),
            )
        )
    return projected


def _off_by(verdicts: list[AuditSampleVerdict]) -> Iterator[tuple[str, int]]:
    """Of each correction that is not right: its currency, and the corrected total less the right one.

    Of one that cannot be told, all that it was corrected by; of one whose rows are gone, nothing is known.
    """
    off = [each for each in verdicts if each.verdict != AuditSampleVerdict.Verdict.CORRECT]
    facts = Transaction.objects.only("currency", "scale").in_bulk([each.item.transaction_id for each in off])
    wanted = {known for each in off for known in (each.item.calculation_id, each.item.replaces_id)}
    calculations = Calculation.objects.only("total").in_bulk(wanted)
    for verdict in off:
        known, after = facts.get(verdict.item.transaction_id), calculations.get(verdict.item.calculation_id)
        before = calculations.get(verdict.item.replaces_id)
        if known is None or after is None or before is None:
            continue
        off_by = after.total - before.total if verdict.wrong_by is None else verdict.wrong_by
        yield money_key(known.currency, known.scale), off_by


def percent(share: Fraction, *, up: bool = False) -> str:
    """A share of 1 for people, to four digits behind the point at most, rounded to the nearest or `up`: "95 %", "0.9969 %"."""
    return f"{_decimal(share, up=up)}\N{NO-BREAK SPACE}%"


def _decimal(share: Fraction, *, up: bool = False) -> str:
    scaled = share * 100 * 10**_HUNDRED_PERCENT_DIGITS
    whole = -(-scaled.numerator // scaled.denominator) if up else _rounded(scaled)
    before, after = divmod(whole, 10**_HUNDRED_PERCENT_DIGITS)
    return f"{before}.{after:0{_HUNDRED_PERCENT_DIGITS}d}".rstrip("0").rstrip(".")


def _rounded(value: Fraction) -> int:
    """To the nearest whole number; a half away from zero."""
    magnitude = (2 * abs(value.numerator) + value.denominator) // (2 * value.denominator)
    return magnitude if value >= 0 else -magnitude
