"""Whether somebody may do what they ask for. The same answer for page, API, command and task."""

from django.contrib.auth.models import AbstractBaseUser, AnonymousUser, Permission, PermissionsMixin, User

from audit.denied import note_denied
from audit.errors import Refused


class NotPermitted(Refused):
    """The acting user lacks the permission that an action needs."""


def demand(acting_user: AbstractBaseUser | AnonymousUser, permission: str) -> None:
    """Raise `NotPermitted` unless `acting_user` is active and has `permission` ("app.codename"); the trail then tells of the attempt."""
    if isinstance(acting_user, PermissionsMixin) and acting_user.has_perm(permission):
        return
    app, codename = permission.split(".")
    named = Permission.objects.filter(content_type__app_label=app, codename=codename).first()
    what = named.name[:1].lower() + named.name[1:] if named else permission
    note_denied(acting_user, what)
    raise NotPermitted(
        f"{acting_user} lacks the permission “{what}”. An administrator gives roles to people."
    )


def may_look_after(person: User, acting_user: User) -> bool:
    """Whether `acting_user`, if accounts are theirs to manage, may change this one: a superuser's is for superusers alone."""
    return acting_user.is_superuser or not person.is_superuser
