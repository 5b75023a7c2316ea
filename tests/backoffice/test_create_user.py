"""Making accounts from the command line."""

import json
from io import StringIO
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.core.management import CommandError, call_command

from audit.errors import Refused
from audit.models import AuditEntry

PASSWORD = "a-long-enough-secret-7"


@pytest.fixture(autouse=True)
def _password(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AMENDS_PASSWORD", PASSWORD)


def create(*words: str) -> dict[str, Any]:
    out = StringIO()
    call_command("create_user", *words, "--json", stdout=out)
    answer: dict[str, Any] = json.loads(out.getvalue())
    return answer


def test_a_user_is_made_with_role_password_and_an_audit_entry(db: None) -> None:
    assert create("ann", "--role", "engineer") == {"user": "ann", "role": "engineer", "created": True}

    user = User.objects.get(username="ann")
    assert user.check_password(PASSWORD)
    assert user.is_staff
    assert not user.is_superuser
    assert [group.name for group in user.groups.all()] == ["engineer"]
    assert user.has_perm("remediation.preview_plan")
    entry = AuditEntry.objects.get()
    assert (entry.event, entry.actor_id, entry.actor_label) == ("user.created", None, "Amends")
    assert (entry.subject_type, entry.subject_id, entry.data) == ("auth.user", user.pk, {"role": "engineer"})
    assert entry.request_id != ""


def test_asking_again_changes_nothing_not_even_the_password(
    db: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    create("ann", "--role", "engineer")
    monkeypatch.setenv("AMENDS_PASSWORD", "another-good-secret-8")
    assert create("ann", "--role", "engineer")["created"] is False
    assert User.objects.get(username="ann").check_password(PASSWORD)
    assert AuditEntry.objects.count() == 1


def test_another_role_for_somebody_who_is_there_is_refused(db: None) -> None:
    create("ann", "--role", "engineer")
    with pytest.raises(Refused, match="“ann” is there already, as engineer"):
        create("ann", "--role", "approver")


@pytest.mark.parametrize("password", ["short", "password1", "84629175038264"])
def test_a_weak_password_is_refused(db: None, monkeypatch: pytest.MonkeyPatch, password: str) -> None:
    monkeypatch.setenv("AMENDS_PASSWORD", password)
    with pytest.raises(Refused, match=r"(?i)password"):
        create("ann", "--role", "engineer")
    assert not User.objects.exists()


def test_an_unknown_role_is_wrong_usage(db: None) -> None:
    with pytest.raises(CommandError, match="invalid choice"):
        create("ann", "--role", "emperor")


def test_nobody_to_ask_for_a_password_is_refused(db: None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("AMENDS_PASSWORD")
    with pytest.raises(Refused, match="set AMENDS_PASSWORD"):
        create("ann", "--role", "engineer")
