"""A search as people read it: what each part of it asks for."""

from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString
from django.utils.translation import gettext as _

from audit.templatetags.reading import moment
from transactions.admin.find.form import LABELS, FindForm


def in_words(form: FindForm) -> list[tuple[str, str | SafeString]]:
    """Each part of a search that can be meant, labelled; times in UTC and in the form's zone."""
    selection = form.selection
    assert selection is not None
    parts: list[tuple[str, str | SafeString]] = [(str(LABELS["calculator"]), selection.calculator)]
    for name, values, everything in (
        ("version", selection.versions, _("every release")),
        ("service", selection.services, _("every service")),
        ("store", selection.stores, ""),
        ("country", selection.countries, ""),
        ("currency", selection.currencies, ""),
        ("reference", selection.references, ""),
    ):
        if values or everything:
            listed = format_html_join(", ", "{}", ((each,) for each in values))
            parts.append((str(LABELS[name]), listed or everything))
    for name, at in (
        ("from", selection.calculated_from),
        ("to", selection.calculated_before),
        ("occurred_from", selection.occurred_from),
        ("occurred_to", selection.occurred_before),
    ):
        if at is not None:
            parts.append((str(LABELS[name]), moment(at, form.zone)))
    for name, amount in (("at_least", selection.total_from), ("at_most", selection.total_to)):
        if amount is not None:
            parts.append((str(LABELS[name]), format_html(_("{} in the transaction's own currency"), amount)))
    return parts
