"""How money, transactions and personal data's fields stand in the trail's entries, told to people."""

import re
from typing import Any

from django.urls import reverse
from django.utils.html import format_html, format_html_join
from django.utils.translation import gettext as _

from audit.admin.facts import Shown, label_of, tells_facts
from transactions.templatetags.money import change_text, money_text

_MONEY_KEY = re.compile(r"[A-Z]{3}:[0-9]{1,2}\Z")
_DIFFERENCES = ("delta",)
_ORDER = ("before", "after", "delta", "largest")


@tells_facts
def money(_name: str, value: Any) -> Shown | None:
    """{"USD:2": whole smallest units}, alone or with several sums each ({"USD:2": {"before": …, "delta": …}})."""
    if not (isinstance(value, dict) and value and all(_MONEY_KEY.match(key) for key in value)):
        return None
    lines = []
    for key, told in value.items():
        currency, scale = key.split(":")
        if isinstance(told, int):
            lines.append((_change(told, currency, int(scale)),))
        elif isinstance(told, dict) and all(isinstance(each, int) for each in told.values()):
            lines.append((_sums(told, currency, int(scale)),))
        else:
            return None
    return format_html('<ul class="plain">{}</ul>', format_html_join("", "<li>{}</li>", lines))


def _change(amount: int, currency: str, scale: int) -> Shown:
    return format_html(
        '<span class="money">{}\N{NO-BREAK SPACE}{}</span>', currency, change_text(amount, scale)
    )


def _sums(told: dict[str, int], currency: str, scale: int) -> Shown:
    ordered = sorted(
        told.items(), key=lambda each: _ORDER.index(each[0]) if each[0] in _ORDER else len(_ORDER)
    )
    parts = (
        (
            label_of(name).lower(),
            _change(amount, currency, scale)
            if name in _DIFFERENCES
            else format_html('<span class="money">{}</span>', money_text(amount, currency, scale)),
        )
        for name, amount in ordered
    )
    return format_html_join(", ", "{} {}", parts)


@tells_facts
def transaction(name: str, value: Any) -> Shown | None:
    """A transaction by its number."""
    if name != "transaction" or not isinstance(value, int):
        return None
    page = reverse("admin:transactions_transaction_change", args=[value])
    return format_html('<a href="{}">{}</a>', page, _("Transaction %(number)s") % {"number": value})
