"""Lets audit entries written while a page is served carry that request's id, and tells the trail what was denied."""

from collections.abc import Callable

from django.http import HttpRequest, HttpResponse
from structlog.contextvars import get_contextvars

from audit.context import request as request_context
from audit.denied import any_noted, denials_recorded, note_denied

FORBIDDEN = 403


class RequestIdMiddleware:
    """Stands below django-structlog's middleware, which gives each request its id; the log lines carry the same one."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self._get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        where = f"{request.method} {request.path}"
        with request_context(str(get_contextvars().get("request_id", ""))), denials_recorded(where):
            response = self._get_response(request)
            if response.status_code == FORBIDDEN and not any_noted():
                note_denied(request.user, "a page or a button that their role does not open")
            return response
