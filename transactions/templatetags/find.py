"""How shares are written for people."""

from django import template
from django.utils.formats import number_format

register = template.Library()


@register.filter
def percent(share: float | None) -> str:
    """A share in hundredths: "58.6%", and never a flat 0% or 100% of what is not; "–" for None."""
    if share is None:
        return "–"
    rounded = round(100 * share, 1)
    if rounded == 0 and share > 0:
        return f"<{number_format(0.1, 1)}%"
    if rounded == 100 and share < 1:
        return f">{number_format(99.9, 1)}%"
    return f"{number_format(rounded, 1)}%"
