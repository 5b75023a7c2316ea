"""Where somebody is locked out, on their account's page."""

from typing import Any

from django import template
from django.contrib.auth.models import User
from django.template import RequestContext

from backoffice.end_lockout import lockouts_of

register = template.Library()


@register.inclusion_tag("backoffice/lockouts.html", takes_context=True)
def lockouts(context: RequestContext, person: User) -> dict[str, Any]:
    """What locks `person` out, and a button to end it; nothing where nothing does."""
    return {
        "person": person,
        "lockouts": lockouts_of(person),
        "may_end": context.get("has_change_permission"),
        "csrf_token": context.get("csrf_token"),
    }
