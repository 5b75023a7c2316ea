"""How verdicts and recomputations of an audit sample look."""

from django import template
from django.utils.html import format_html
from django.utils.safestring import SafeString

from remediation.admin.audit_sample_item import RECOMPUTED_TONES, VERDICT_TONES
from remediation.admin.badge import badge
from remediation.models import AuditSampleVerdict
from remediation.recomputation import ItemCheck, Recomputed
from transactions.templatetags.money import change_text

register = template.Library()

_WORDS = {
    Recomputed.AGREES: "the same",
    Recomputed.DIFFERS: "differs",
    Recomputed.FAILED: "fails",
    Recomputed.OTHER_CODE: "not recomputed: other code",
    Recomputed.UNAVAILABLE: "not recomputed: unreachable",
    Recomputed.REPORTED: "not recomputed: as reported",
}


@register.simple_tag
def recomputed_badge(check: ItemCheck) -> SafeString:
    """What recomputing said, in a few words."""
    return badge(RECOMPUTED_TONES[check.recomputed], _WORDS[check.recomputed])


@register.simple_tag
def verdict_badge(verdict: AuditSampleVerdict | None) -> SafeString:
    """A verdict, or that there is none yet."""
    if verdict is None:
        return badge("calm", "no verdict yet")
    return badge(VERDICT_TONES[AuditSampleVerdict.Verdict(verdict.verdict)], verdict.get_verdict_display())


@register.simple_tag
def shown_then(verdict: AuditSampleVerdict) -> str:
    """What recomputing showed when the verdict was given."""
    shown = verdict.shown
    if shown.get("gone"):
        return "rows gone"
    said = _WORDS[Recomputed(shown["recomputed"])]
    return f"{said}. {' '.join(shown['problems'])}" if shown["problems"] else said


@register.simple_tag
def misstated(amount: int, scale: int, currency: str = "") -> SafeString:
    """A corrected total less the right one, with its sign and without a colour: neither too high nor too low is good."""
    shown = change_text(amount, scale)
    return format_html(
        '<span class="money">{}{}</span>', f"{currency}\N{NO-BREAK SPACE}" if currency else "", shown
    )
