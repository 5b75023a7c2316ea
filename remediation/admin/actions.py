"""Buttons: each asks one public function, and whatever that refuses becomes a message, with what others did meanwhile."""

from collections.abc import Callable, Iterable
from typing import Any

from django.contrib import messages
from django.contrib.auth.models import User
from django.db.models import Q
from django.http import HttpRequest, HttpResponseRedirect
from django.http.response import HttpResponseBase
from django.urls import URLPattern, path
from django.utils.translation import gettext as _

from audit.admin.read_only import ReadOnlyAdmin
from audit.errors import Refused
from audit.models import AuditEntry
from audit.sentence import sentence
from audit.templatetags.reading import page_of

SEEN = "seen"
"""The form field that holds the newest audit entry at the time the page was made."""
MOST_TOLD = 5

Action = Callable[[HttpRequest, Any, User], Any]
"""Does what a button says; answers with what to show next: something with a page, or a whole response, such as a file."""


class ChangedMeanwhile(Refused):
    """A button was pressed on a page that shows what is not so any more."""


def newest_entry() -> int:
    """The newest audit entry's id: what is newer happened after the page was made."""
    return AuditEntry.objects.order_by("-id").values_list("id", flat=True).first() or 0


def on(subjects: Iterable[Any]) -> Q:
    """Entries about any of `subjects`."""
    condition = Q(pk__in=[])
    for subject in subjects:
        condition |= Q(subject_type=subject._meta.label_lower, subject_id=subject.pk)
    return condition


def tell_meanwhile(request: HttpRequest, subjects: Iterable[Any]) -> None:
    """Tell the reader what others did to `subjects` since the page was made that they pressed the button on."""
    seen = request.POST.get(SEEN, "")
    if not seen.isdigit() or len(seen) > 18:
        return
    newer = AuditEntry.objects.filter(on(subjects), pk__gt=int(seen)).order_by("pk")
    for entry in newer[:MOST_TOLD]:
        said = _("Meanwhile, at %(time)s UTC: %(sentence)s.")
        messages.info(request, said % {"time": f"{entry.occurred_at:%H:%M:%S}", "sentence": sentence(entry)})


class ActingAdmin(ReadOnlyAdmin):
    """A page with buttons. Each is a form that is posted to “<page>/<action>/” and comes back to a page with a message."""

    def buttons(self) -> dict[str, Action]:
        """The actions by the last part of their address."""
        return {}

    def others_concerned(self, subject: Any) -> Iterable[Any]:
        """Whose entries tell what happened to `subject` meanwhile."""
        return [subject]

    def own_urls(self) -> list[URLPattern]:
        name = f"{self.opts.app_label}_{self.opts.model_name}"
        return [
            path(
                f"<int:pk>/{button}/", self.admin_site.admin_view(self._view(action)), name=f"{name}_{button}"
            )
            for button, action in self.buttons().items()
        ]

    def page_context(self, request: HttpRequest, subject: Any) -> dict[str, Any]:
        return {"newest_entry": newest_entry()}

    def _view(self, action: Action) -> Callable[..., HttpResponseBase]:
        def act(request: HttpRequest, pk: int) -> HttpResponseBase:
            subject = self.subject(request, pk)
            if request.method != "POST":
                # Back from signing in again: the button has to be pressed once more.
                messages.warning(
                    request,
                    _(
                        "You were signed out meanwhile, so the button did nothing. Press it again if it still fits."
                    ),
                )
                return HttpResponseRedirect(page_of(subject))
            assert isinstance(request.user, User)
            try:
                show_next = action(request, subject, request.user)
            except Refused as refused:
                messages.error(request, str(refused))
                tell_meanwhile(request, self.others_concerned(subject))
                show_next = subject
            if isinstance(show_next, HttpResponseBase):
                return show_next
            return HttpResponseRedirect(page_of(show_next))

        return act
