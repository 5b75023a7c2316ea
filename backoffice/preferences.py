"""How pages are shown to whoever looks at them: time zone, light or dark, shortcuts. Kept in cookies of their browser, and nowhere else.

A zone that was chosen goes before the one that the browser's script tells (static/js/device.js). Pages show times in it; files, exports,
commands and messages stay with UTC, and say so.
"""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cache
from typing import Any
from zoneinfo import ZoneInfo, available_timezones

from django.contrib import messages
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.template.response import TemplateResponse
from django.urls import reverse
from django.utils import timezone
from django.utils.http import url_has_allowed_host_and_scheme
from django.utils.translation import gettext as _

ZONE_COOKIE, DEVICE_ZONE_COOKIE = "amends_zone", "amends_device_zone"
THEME_COOKIE, KEYS_COOKIE = "amends_theme", "amends_keys"
THEMES = ("system", "light", "dark")
_DARK_MEDIA = {"system": "screen and (prefers-color-scheme: dark)", "light": "not all", "dark": "screen"}
_ONE_YEAR = 365 * 24 * 60 * 60


@dataclass(frozen=True)
class Preferences:
    """What the reader's cookies ask for. `chosen_zone` and `device_zone` are names of IANA or "" where there is none."""

    chosen_zone: str = ""
    device_zone: str = ""
    theme: str = "system"
    keys: bool = True

    @property
    def zone_name(self) -> str:
        """The zone that times are shown in."""
        return self.chosen_zone or self.device_zone or "UTC"

    @property
    def offset(self) -> str:
        """How far the zone is from UTC today: "UTC+01:00", or "UTC"."""
        now = datetime.now(UTC).astimezone(ZoneInfo(self.zone_name))
        written = f"{now:%z}"
        return "UTC" if written == "+0000" else f"UTC{written[:3]}:{written[3:5]}"

    @property
    def dark_media(self) -> str:
        """Where the dark colours hold, as a media query."""
        return _DARK_MEDIA[self.theme]


@cache
def zones() -> frozenset[str]:
    """Every zone that may be asked for."""
    return frozenset(available_timezones() - {"localtime", "Factory"})


def preferences_of(request: HttpRequest) -> Preferences:
    """What the cookies of `request` ask for; what is no zone or theme counts as not said."""
    theme = request.COOKIES.get(THEME_COOKIE, "")
    return Preferences(
        chosen_zone=_zone(request.COOKIES.get(ZONE_COOKIE, "")),
        device_zone=_zone(request.COOKIES.get(DEVICE_ZONE_COOKIE, "")),
        theme=theme if theme in THEMES else "system",
        keys=request.COOKIES.get(KEYS_COOKIE, "") != "off",
    )


def _zone(named: str) -> str:
    # The script writes a name as browsers encode it in cookies: “Europe%2FBerlin”.
    name = named.replace("%2F", "/").replace("%2f", "/")
    return name if name in zones() else ""


def shown(request: HttpRequest) -> dict[str, Any]:
    """What every template knows of it: a context processor."""
    return {"preferences": preferences_of(request)}


class TimeZoneMiddleware:
    """Has times shown in the reader's zone while their page is made."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self._get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        with timezone.override(ZoneInfo(preferences_of(request).zone_name)):
            return self._get_response(request)


def preferences_page(request: HttpRequest, context: dict[str, Any]) -> HttpResponse:
    """The form for all of it; posted, it writes the cookies and leads back to the page that the reader came from."""
    if request.method == "POST":
        return _keep(request)
    return TemplateResponse(
        request,
        "backoffice/preferences.html",
        {
            **context,
            "title": _("How pages are shown"),
            "zones": sorted(zones()),
            "next": _next(request, request.GET.get("next", "")),
        },
    )


def _keep(request: HttpRequest) -> HttpResponse:
    response = HttpResponseRedirect(_next(request, request.POST.get("next", "")) or reverse("admin:index"))
    zone = request.POST.get("zone")
    if zone and zone not in zones():
        messages.error(
            request,
            _("“%(zone)s” is no time zone, such as Europe/Zurich or UTC. Times are shown as before.")
            % {"zone": zone[:60]},
        )
    elif zone is not None:
        _write(request, response, ZONE_COOKIE, zone)
    theme = request.POST.get("theme")
    if theme in THEMES:
        _write(request, response, THEME_COOKIE, "" if theme == "system" else theme)
    keys = request.POST.get("keys")
    if keys in ("on", "off"):
        _write(request, response, KEYS_COOKIE, "" if keys == "on" else "off")
    return response


def _write(request: HttpRequest, response: HttpResponse, name: str, value: str) -> None:
    if value:
        response.set_cookie(
            name, value, max_age=_ONE_YEAR, httponly=True, samesite="Lax", secure=request.is_secure()
        )
    else:
        response.delete_cookie(name, samesite="Lax")


def _next(request: HttpRequest, given: str) -> str:
    """`given` where it is an address of ours, else ""."""
    ours = url_has_allowed_host_and_scheme(
        given, allowed_hosts={request.get_host()}, require_https=request.is_secure()
    )
    return given if ours else ""
