"""The one site that all pages belong to, and its first page: what needs you."""

from collections.abc import Callable
from http import HTTPStatus
from typing import Any

from django import forms
from django.contrib import admin
from django.contrib.admin.forms import AdminAuthenticationForm
from django.contrib.auth.models import User
from django.contrib.auth.signals import user_login_failed
from django.core.exceptions import ValidationError
from django.db import transaction
from django.http import Http404, HttpRequest, HttpResponse
from django.template.response import TemplateResponse
from django.urls import NoReverseMatch, URLPattern, URLResolver, path, reverse
from django.utils.translation import gettext_lazy as _
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_safe

from audit.one_time_codes import TooSoon, accept_code, has_second_factor
from audit.trail import record
from backoffice.events import PASSWORD_CHANGED, PasswordChangedData
from backoffice.keyboard import keyboard_context
from backoffice.preferences import preferences_page

HomePart = Callable[[HttpRequest], dict[str, Any]]
"""What one part of the first page shows: the context of its template."""

PageUrls = Callable[[admin.AdminSite], list[URLPattern]]
"""The addresses of pages that are no model's, for the site that they are shown on."""

NAVIGATION = (
    (_("Find"), "find"),
    (_("Cases"), "remediation_case"),
    (_("Plans"), "remediation_plan"),
    (_("Jobs"), "remediation_job"),
    (_("Transactions"), "transactions_transaction"),
    (_("Stores"), "transactions_store"),
    (_("Releases"), "transactions_release"),
    (_("Audit samples"), "remediation_auditsample"),
    (_("Trail"), "audit_auditentry"),
    (_("People"), "auth_user"),
)
PAGES = {"find": "transactions.view_transaction"}
"""Pages of the navigation that are no lists, and the permission that each asks for."""
WORKED_IN = {"remediation_auditsample": "remediation.audit_sample"}
"""Lists that many may see, but only those find in the navigation whose work it is: who has this permission."""


class SignInForm(AdminAuthenticationForm):
    """Says the same of a wrong name, a wrong password, and an account that opens no pages: which of them it is would help guessing.

    Who has a second factor gives its code too. Whether somebody has one is told only to who gave the right password.
    """

    code = forms.CharField(
        label=_("Code, if you have a second factor"),
        required=False,
        max_length=20,
        strip=True,
        widget=forms.TextInput(
            attrs={"autocomplete": "one-time-code", "autocapitalize": "none", "spellcheck": "false"}
        ),
    )

    error_messages = {  # noqa: RUF012 (Django declares it so)
        **AdminAuthenticationForm.error_messages,
        "invalid_login": _("That name and that password do not belong together, or may not sign in here."),
        "no_code": _("This account has a second factor: give its code too, with the password once more."),
        "wrong_code": _(
            "That code is wrong, or was used before. Wait until your app shows the next one, and give the password once more."
        ),
    }

    def clean(self) -> dict[str, Any]:
        cleaned = super().clean()
        user = self.get_user()
        if isinstance(user, User) and has_second_factor(user):
            self._insist_on_code(user, cleaned.get("code", ""))
        return cleaned

    def _insist_on_code(self, user: User, code: str) -> None:
        if not code:
            raise ValidationError(self.error_messages["no_code"], code="no_code")
        try:
            by = accept_code(user, code)
        except TooSoon as too_soon:
            raise ValidationError(str(too_soon), code="too_soon") from too_soon
        if by is None:
            # A wrong code is a failed sign-in like any other: axes counts it, and the trail tells of it.
            user_login_failed.send(
                sender=__name__, credentials={"username": user.get_username()}, request=self.request
            )
            raise ValidationError(self.error_messages["wrong_code"], code="wrong_code")


class AmendsAdminSite(admin.AdminSite):
    login_form = SignInForm
    site_header = "Amends"
    site_title = "Amends"
    index_title = _("What needs you")
    enable_nav_sidebar = False
    site_url = None

    def __init__(self, name: str = "admin") -> None:
        super().__init__(name)
        # Parts of the first page by the name of their template, in the order in which they are shown.
        self._home_parts: dict[str, HomePart] = {}
        self._aside: set[str] = set()
        self._page_urls: list[PageUrls] = []

    def add_home_part(self, name: str, part: HomePart, *, aside: bool = False) -> None:
        """Show `part` on the first page, by the template “backoffice/<name>.html”, and alone at “home/<name>/” for pages that are open.

        What the reader has to do stands in the middle; how things stand, `aside`. A part may show nothing.
        """
        self._home_parts[name] = part
        if aside:
            self._aside.add(name)

    def add_urls(self, urls: PageUrls) -> None:
        """Serve pages that are no model's, ahead of all that are."""
        self._page_urls.append(urls)

    def get_urls(self) -> list[URLResolver | URLPattern]:
        part = self.admin_view(never_cache(require_safe(self.home_part)))
        pages = [each for urls in self._page_urls for each in urls(self)]
        return [
            path("home/<slug:name>/", part, name="home_part"),
            path("preferences/", self.preferences, name="preferences"),
            path("keyboard/", self.admin_view(require_safe(self.keyboard)), name="keyboard"),
            *pages,
            *super().get_urls(),
        ]

    def each_context(self, request: HttpRequest) -> dict[str, Any]:
        if not self.has_permission(request):
            return super().each_context(request)
        return {
            **super().each_context(request),
            **keyboard_context(request),
            "navigation": self._navigation(request),
        }

    def _navigation(self, request: HttpRequest) -> list[dict[str, Any]]:
        """The pages and lists that the reader may see, and which of them the page at hand belongs to."""
        shown = []
        for label, name in NAVIGATION:
            app, _sep, model = name.partition("_")
            try:
                url = reverse(f"admin:{name}" if name in PAGES else f"admin:{name}_changelist")
            except NoReverseMatch:
                continue
            asked = (PAGES.get(name) or f"{app}.view_{model}", WORKED_IN.get(name))
            if all(request.user.has_perm(each) for each in asked if each):
                shown.append({"label": label, "url": url, "current": request.path.startswith(url)})
        return shown

    def preferences(self, request: HttpRequest) -> HttpResponse:
        """Time zone, colours and shortcuts; for those too who have not signed in."""
        return preferences_page(request, self.each_context(request))

    def keyboard(self, request: HttpRequest) -> HttpResponse:
        """The shortcuts that `?` shows, for those whose browser runs no scripts."""
        context = {**self.each_context(request), "title": _("Keyboard shortcuts")}
        return TemplateResponse(request, "backoffice/keyboard.html", context)

    def password_change(  # type: ignore[override]
        self, request: HttpRequest, extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        """Change one's own password, which the trail tells."""
        with transaction.atomic():
            answer = super().password_change(request, extra_context)
            if request.method == "POST" and answer.status_code == HTTPStatus.FOUND:
                assert isinstance(request.user, User)
                record(PASSWORD_CHANGED, request.user, PasswordChangedData(), actor=request.user)
        return answer

    def index(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> TemplateResponse:
        context: dict[str, Any] = {}
        for part in self._home_parts.values():
            context |= part(request)
        templates = {name: f"backoffice/{name}.html" for name in self._home_parts}
        context["home_parts"] = [each for name, each in templates.items() if name not in self._aside]
        context["home_aside"] = [each for name, each in templates.items() if name in self._aside]
        return super().index(request, context | (extra_context or {}))

    def home_part(self, request: HttpRequest, name: str) -> HttpResponse:
        """One part of the first page alone."""
        if name not in self._home_parts:
            raise Http404(f"The first page has no part “{name}”.")
        return TemplateResponse(request, f"backoffice/{name}.html", self._home_parts[name](request))
