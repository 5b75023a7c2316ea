"""Lets audit entries written while a page is served carry that request's id."""

from collections.abc import Callable

from django.http import HttpRequest, HttpResponse
from structlog.contextvars import get_contextvars

from audit.context import request as request_context


class RequestIdMiddleware:
    """Stands below django-structlog's middleware, which gives each request its id; the log lines carry the same one."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self._get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        with request_context(str(get_contextvars().get("request_id", ""))):
            return self._get_response(request)
