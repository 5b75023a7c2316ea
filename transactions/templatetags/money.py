"""How amounts are written for people: exact, grouped by thousands, with their currency."""

from typing import Any

from django import template
from django.utils.formats import number_format
from django.utils.html import format_html
from django.utils.safestring import SafeString

from transactions.money import format_amount

register = template.Library()

MINUS = "−"


def amount_text(amount: int, scale: int) -> str:
    """`amount` smallest units as a grouped decimal text: (-123456, 2) gives "−1,234.56"."""
    shown = number_format(
        format_amount(abs(amount), scale), decimal_pos=scale, use_l10n=True, force_grouping=True
    )
    return f"{MINUS}{shown}" if amount < 0 else str(shown)


def money_text(amount: int, currency: str, scale: int) -> str:
    """An amount with its currency: "USD 1,234.56"."""
    return f"{currency}\N{NO-BREAK SPACE}{amount_text(amount, scale)}"


def change_text(amount: int, scale: int) -> str:
    """An amount with its sign, as a difference is written: "+1.20", "−0.05", "0.00"."""
    return f"+{amount_text(amount, scale)}" if amount > 0 else amount_text(amount, scale)


@register.simple_tag
def money(amount: int | None, currency: str, scale: int) -> str | SafeString:
    """An amount in its currency; "" where there is none."""
    return (
        ""
        if amount is None
        else format_html('<span class="money">{}</span>', money_text(amount, currency, scale))
    )


@register.simple_tag
def amount(value: int | None, scale: int) -> str | SafeString:
    """An amount where the currency is said elsewhere."""
    return "" if value is None else format_html('<span class="money">{}</span>', amount_text(value, scale))


@register.simple_tag
def change(value: int | None, scale: int, currency: str = "") -> str | SafeString:
    """A difference with its sign, and a word for those who do not see colours."""
    if value is None:
        return ""
    way = "up" if value > 0 else "down" if value < 0 else "same"
    shown = change_text(value, scale)
    return format_html(
        '<span class="money change-{}">{}{}</span>',
        way,
        f"{currency}\N{NO-BREAK SPACE}" if currency else "",
        shown,
    )


@register.filter
def count(value: Any) -> str:
    """A number of things, grouped by thousands; "–" where it is not known yet."""
    return (
        "–" if value is None else str(number_format(value, decimal_pos=0, use_l10n=True, force_grouping=True))
    )
