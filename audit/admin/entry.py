"""The trail's pages: who did what, in sentences."""

from typing import Any, ClassVar

from django.contrib import admin
from django.contrib.auth.models import User
from django.db.models import QuerySet
from django.http import HttpRequest
from django.urls import NoReverseMatch, reverse
from django.utils.html import format_html

from audit.admin.read_only import ReadOnlyAdmin
from audit.events import UnregisteredEvent, registered_event, registered_events
from audit.models import AuditEntry
from audit.templatetags.reading import moment
from audit.trail import SYSTEM_LABEL

# A chunk has no page of its own: its plan or job, named in the entry's data, shows it.
_SHOWN_BY = {"planchunk": "plan", "jobchunk": "job"}


def sentence(entry: AuditEntry) -> str:
    """What happened, as a sentence: "ben approved Plan 3 (apply)"."""
    try:
        words = registered_event(entry.event).sentence
    except UnregisteredEvent:
        words = entry.event
    if "{actor}" in words:
        return words.format(actor=entry.actor_label, subject=entry.subject_label)
    return f"{entry.actor_label} {words} {entry.subject_label}"


def subject_page(entry: AuditEntry) -> str:
    """The address of the page that shows what an entry is about; "" where there is none."""
    app, _, model = entry.subject_type.partition(".")
    shown_as = _SHOWN_BY.get(model, model)
    pk = entry.subject_id if shown_as == model else entry.data.get(shown_as)
    try:
        return reverse(f"admin:{app}_{shown_as}_change", args=[pk])
    except NoReverseMatch:
        return ""


class EventFilter(admin.SimpleListFilter):
    """By event type: those that are registered, so that no row is read to list them."""

    title = "what happened"
    parameter_name = "event"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        return [(event.name, event.name) for event in registered_events()]

    def queryset(self, request: HttpRequest, queryset: QuerySet[AuditEntry]) -> QuerySet[AuditEntry]:
        return queryset.filter(event=self.value()) if self.value() else queryset


class ActorFilter(admin.SimpleListFilter):
    """By who did it: the reader, Amends itself, or whoever was chosen by clicking on a name."""

    title = "who did it"
    parameter_name = "actor"
    AMENDS = "amends"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        choices = [(str(request.user.pk), "me"), (self.AMENDS, SYSTEM_LABEL)]
        chosen = request.GET.get(self.parameter_name, "")
        if chosen.isdigit() and chosen != str(request.user.pk):
            person = User.objects.filter(pk=chosen[:18]).first()
            choices.append((chosen, person.get_username() if person else f"user {chosen}"))
        return choices

    def queryset(self, request: HttpRequest, queryset: QuerySet[AuditEntry]) -> QuerySet[AuditEntry]:
        chosen = self.value()
        if not chosen:
            return queryset
        if chosen == self.AMENDS:
            return queryset.filter(actor__isnull=True)
        return queryset.filter(actor_id=int(chosen[:18])) if chosen.isdigit() else queryset.none()


@admin.register(AuditEntry)
class AuditEntryAdmin(ReadOnlyAdmin):
    lookups: ClassVar = frozenset({"event", "actor", "subject_type", "subject_id"})
    list_display = ("when", "what", "who", "reason")
    list_display_links = ("when",)
    list_filter = (ActorFilter, EventFilter)
    search_fields = ("actor__username",)
    search_help_text = (
        "The full name of an account, or a thing and its number, such as “plan 3”, “case 2” or “job 5”."
    )

    @admin.display(description="when")
    def when(self, entry: AuditEntry) -> str:
        return moment(entry.occurred_at)

    @admin.display(description="what happened")
    def what(self, entry: AuditEntry) -> str:
        page = subject_page(entry)
        return format_html('<a href="{}">{}</a>', page, sentence(entry)) if page else sentence(entry)

    @admin.display(description="by")
    def who(self, entry: AuditEntry) -> str:
        return format_html(
            '<a href="?actor={}">{}</a>', entry.actor_id or ActorFilter.AMENDS, entry.actor_label
        )

    def get_search_results(
        self, request: HttpRequest, queryset: QuerySet[Any], search_term: str
    ) -> tuple[QuerySet[Any], bool]:
        term = search_term.strip()
        if not term:
            return queryset, False
        kind, _, number = term.lower().partition(" ")
        if kind in ("plan", "case", "job") and number.isdigit() and len(number) < 19:
            return queryset.filter(subject_type=f"remediation.{kind}", subject_id=int(number)), False
        person = User.objects.filter(username=term).first()
        return (queryset.filter(actor_id=person.pk) if person else queryset.none()), False

    def page_context(self, request: HttpRequest, subject: AuditEntry) -> dict[str, Any]:
        return {"title": sentence(subject), "subject_page": subject_page(subject)}
