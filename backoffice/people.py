"""Accounts of people and the roles they have."""

from django.contrib.auth.models import Group, User
from django.contrib.auth.password_validation import validate_password
from django.core.exceptions import ValidationError
from django.db import transaction

from audit.errors import Refused
from audit.trail import record
from backoffice.events import USER_CREATED, UserCreatedData
from backoffice.roles import ROLES


def create_user(name: str, role: str, password: str) -> bool:
    """Make an account with a role, by whoever may run commands on this machine; the audit entry names Amends as the actor.

    Returns whether it was made: False where the account is there already with that role; its password then stays. Raises `Refused`
    for an unknown role, a password that the validators turn down, or an account that has another role.
    """
    if role not in ROLES:
        raise Refused(f"There is no role “{role}”. There are: {', '.join(ROLES)}.")
    existing = User.objects.filter(username=name).first()
    if existing is not None:
        roles = list(existing.groups.order_by("name").values_list("name", flat=True))
        if role in roles:
            return False
        raise Refused(f"“{name}” is there already, as {', '.join(roles) or 'nobody in particular'}.")
    user = User(username=name, is_staff=True)
    try:
        user.full_clean(exclude=["password"])
        validate_password(password, user)
    except ValidationError as error:
        raise Refused(" ".join(error.messages)) from error
    user.set_password(password)
    with transaction.atomic():
        user.save()
        user.groups.add(Group.objects.get(name=role))
        record(USER_CREATED, user, UserCreatedData(role=role), actor=None)
    return True
