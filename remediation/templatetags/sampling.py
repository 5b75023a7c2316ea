"""How verdicts and recomputations of an audit sample look."""

from django import template
from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _

from remediation.admin.audit_sample_item import RECOMPUTED_TONES, VERDICT_TONES
from remediation.admin.badge import badge
from remediation.models import AuditSampleVerdict
from remediation.recomputation import ItemCheck, Recomputed
from transactions.templatetags.money import change_text

register = template.Library()

_WORDS = {
    Recomputed.AGREES: _("the same"),
    Recomputed.DIFFERS: _("differs"),
    Recomputed.FAILED: _("fails"),
    Recomputed.OTHER_CODE: _("not recomputed: other code"),
    Recomputed.UNAVAILABLE: _("not recomputed: unreachable"),
    Recomputed.REPORTED: _("not recomputed: as reported"),
}


@register.simple_tag
def recomputed_badge(check: ItemCheck) -> SafeString:
    """What recomputing said, in a few words."""
    return badge(RECOMPUTED_TONES[check.recomputed], str(_WORDS[check.recomputed]))


@register.simple_tag
def verdict_badge(verdict: AuditSampleVerdict | None) -> SafeString:
    """A verdict, or that there is none yet."""
    if verdict is None:
        return badge("calm", gettext("no verdict yet"))
    return badge(VERDICT_TONES[AuditSampleVerdict.Verdict(verdict.verdict)], verdict.get_verdict_display())


@register.simple_tag
def shown_then(verdict: AuditSampleVerdict) -> str:
    """What recomputing showed when the verdict was given."""
    shown = verdict.shown
    if shown.get("gone"):
        return gettext("rows gone")
    said = str(_WORDS[Recomputed(shown["recomputed"])])
    return f"{said}. {' '.join(shown['problems'])}" if shown["problems"] else said


@register.simple_tag
def wrong_total(verdict: AuditSampleVerdict, scale: int, currency: str) -> SafeString:
    """Which way, and by how much, the total of a correction is wrong that an auditor found so: "total too high by USD +1.20"."""
    assert verdict.wrong_by is not None
    words = (
        gettext("total too low by {amount}")
        if verdict.wrong_by < 0
        else gettext("total too high by {amount}")
    )
    return format_html(words, amount=misstated(verdict.wrong_by, scale, currency))


@register.simple_tag
def misstated(amount: int, scale: int, currency: str = "") -> SafeString:
    """A corrected total less the right one, with its sign and without a colour: neither too high nor too low is good."""
    shown = change_text(amount, scale)
    return format_html(
        '<span class="money">{}{}</span>', f"{currency}\N{NO-BREAK SPACE}" if currency else "", shown
    )
