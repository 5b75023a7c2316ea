"""The page of one's own account: it leads to another password, turns the second factor on and off, and makes recovery codes."""

from collections.abc import Callable
from typing import Any

import segno
from django.contrib import admin, messages
from django.contrib.auth.models import User
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.template.response import TemplateResponse
from django.urls import URLPattern, path, reverse
from django.utils.safestring import SafeString, mark_safe
from django.utils.translation import gettext as _
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_http_methods

from audit.errors import Refused
from audit.one_time_codes import recovery_codes_left, second_factor_missing, second_factor_since
from audit.second_factor import (
    address_for_app,
    make_recovery_codes,
    new_secret,
    secret_in_words,
    turn_off,
    turn_on,
)

_SECRET = "second_factor_secret"  # noqa: S105 (where the session keeps it until it is turned on)


def second_factor_urls(site: admin.AdminSite) -> list[URLPattern]:
    """The page's address, on the site that it is shown on."""

    @never_cache
    @require_http_methods(["GET", "HEAD", "POST"])
    def view(request: HttpRequest) -> HttpResponse:
        press = _BUTTONS.get(request.POST.get("do", "")) if request.method == "POST" else None
        codes: list[str] = []
        if press is not None:
            try:
                done = press(request)
            except Refused as refused:
                messages.error(request, str(refused))
            else:
                if isinstance(done, HttpResponse):
                    return done
                codes = done
        return TemplateResponse(
            request, "backoffice/second_factor.html", {**site.each_context(request), **_shown(request, codes)}
        )

    return [path("second_factor/", site.admin_view(view), name="second_factor")]


def _shown(request: HttpRequest, codes: list[str]) -> dict[str, Any]:
    person = _person(request)
    since = second_factor_since(person)
    secret = "" if since else request.session.get(_SECRET, "")
    return {
        "title": _("Your account"),
        "since": since,
        "left": recovery_codes_left(person) if since else 0,
        "codes": codes,
        "secret": secret_in_words(secret) if secret else "",
        "qr_code": qr_code(address_for_app(secret, person)) if secret else "",
        "must_have_one": second_factor_missing(person) and person.has_perm("remediation.approve_plan"),
    }


def qr_code(text: str) -> SafeString:
    """A QR code of `text` as an SVG that stands in the page, dark on light in either theme, without any style of its own."""
    made = segno.make(text, error="m", micro=False)
    drawn = made.svg_inline(
        omitsize=True, border=4, dark="#000", light="#fff", svgclass="qr-code", lineclass=None
    )
    return mark_safe(drawn)  # noqa: S308 (drawn from numbers: the text is not in it)


def _begin(request: HttpRequest) -> HttpResponse:
    # Nothing of the account changes before a code has shown that an app has the secret.
    request.session[_SECRET] = new_secret()
    return _to_page()


def _cancel(request: HttpRequest) -> HttpResponse:
    request.session.pop(_SECRET, None)
    return _to_page()


def _turn_on(request: HttpRequest) -> HttpResponse | list[str]:
    secret = request.session.get(_SECRET)
    if not secret:
        return _to_page()
    codes = turn_on(acting_user=_person(request), secret=secret, **_given(request, "code", "password"))
    del request.session[_SECRET]
    messages.success(request, _("Your second factor is on."))
    return codes


def _turn_off(request: HttpRequest) -> HttpResponse:
    turn_off(acting_user=_person(request), **_given(request, "code", "password"))
    messages.success(request, _("Your second factor is off."))
    return _to_page()


def _make_codes(request: HttpRequest) -> list[str]:
    codes = make_recovery_codes(acting_user=_person(request), **_given(request, "code"))
    messages.success(request, _("You have new recovery codes. Those before are good no longer."))
    return codes


_BUTTONS: dict[str, Callable[[HttpRequest], HttpResponse | list[str]]] = {
    "begin": _begin,
    "cancel": _cancel,
    "on": _turn_on,
    "off": _turn_off,
    "codes": _make_codes,
}


def _given(request: HttpRequest, *names: str) -> dict[str, str]:
    return {name: request.POST.get(name, "") for name in names}


def _to_page() -> HttpResponse:
    return HttpResponseRedirect(reverse("admin:second_factor"))


def _person(request: HttpRequest) -> User:
    assert isinstance(request.user, User)
    return request.user
