"""What cannot be shown, in the frame of all pages: not found, not permitted, not understood, a form that is too old."""

from http import HTTPStatus
from typing import Any

from django.contrib import admin
from django.http import HttpRequest, HttpResponse
from django.middleware.csrf import REASON_NO_CSRF_COOKIE, REASON_NO_REFERER
from django.template.loader import render_to_string


def not_found(request: HttpRequest, exception: Exception) -> HttpResponse:
    """404; `exception` says in words what there is not, where a page of ours raised it."""
    told = exception.args[0] if exception.args and isinstance(exception.args[0], str) else ""
    return page_in_frame(request, "404.html", HTTPStatus.NOT_FOUND, told=told)


def not_permitted(request: HttpRequest, exception: Exception) -> HttpResponse:
    """403; what a refusal says for itself is shown."""
    return page_in_frame(request, "403.html", HTTPStatus.FORBIDDEN, told=str(exception))


def not_understood(request: HttpRequest, exception: Exception) -> HttpResponse:  # noqa: ARG001 (Django hands it over)
    """400. What was wrong is not repeated: it may be an attack on whoever reads it."""
    return page_in_frame(request, "400.html", HTTPStatus.BAD_REQUEST)


def form_too_old(request: HttpRequest, reason: str = "") -> HttpResponse:
    """403 for a form without this session's token: mostly one that was open since before its reader signed in again."""
    without_cookies = reason in (REASON_NO_CSRF_COOKIE, REASON_NO_REFERER)
    return page_in_frame(request, "403_csrf.html", HTTPStatus.FORBIDDEN, without_cookies=without_cookies)


def page_in_frame(request: HttpRequest, template: str, status: HTTPStatus, **context: Any) -> HttpResponse:
    """A page that is no admin view's, with the navigation of whoever is signed in."""
    # What fails ahead of the middleware that finds out who asks has no user: then there is nothing to navigate to.
    user = getattr(request, "user", None)
    framed = admin.site.each_context(request) if user is not None and user.is_authenticated else {}
    shown = {**framed, "is_popup": False, **context}
    return HttpResponse(render_to_string(template, shown, request=request), status=status)
