"""Sums of money per currency and scale, as plans and jobs store and answer them: {"USD:2": whole smallest units}."""

from collections.abc import Iterable, Mapping

from transactions.money import format_amount


def money_key(currency: str, scale: int) -> str:
    """The key under which sums of that currency and scale are kept: "USD:2"."""
    return f"{currency}:{scale}"


def add_money(sums: Iterable[Mapping[str, int]]) -> dict[str, int]:
    """The sums added up, each currency and scale for itself, by key."""
    total: dict[str, int] = {}
    for each in sums:
        for key, amount in each.items():
            total[key] = total.get(key, 0) + amount
    return dict(sorted(total.items()))


def as_amounts(sums: Mapping[str, int]) -> list[dict[str, str | int]]:
    """For answers: [{"currency": "USD", "scale": 2, "amount": "-12.30"}], by currency and scale."""
    answer: list[dict[str, str | int]] = []
    for key, amount in sorted(sums.items()):
        currency, _, scale = key.partition(":")
        answer.append(
            {"currency": currency, "scale": int(scale), "amount": format_amount(amount, int(scale))}
        )
    return answer
