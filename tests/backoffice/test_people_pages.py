"""The pages of people's accounts, for administrators."""

import pytest
from django.contrib.auth.models import Group, User
from django.test import Client

from audit.models import AuditEntry
from tests.conftest import UserFactory


@pytest.fixture
def administrator(db: None, client: Client, users: UserFactory) -> Client:
    client.force_login(users("administrator"))
    return client


def test_an_administrator_makes_an_account_with_a_role_and_the_trail_says_so(administrator: Client) -> None:
    approver = Group.objects.get(name="approver")
    password = "a-new-long-password-7"
    fields = {
        "username": "ben",
        "password1": password,
        "password2": password,
        "is_staff": "on",
        "groups": approver.pk,
    }
    administrator.post("/auth/user/add/", fields | {"usable_password": "true"})
    ben = User.objects.get(username="ben")
    assert ben.groups.get() == approver
    entry = AuditEntry.objects.get(event="user.created")
    assert (entry.actor_label, entry.subject_id, entry.data) == (
        "test-administrator",
        ben.pk,
        {"role": "approver"},
    )


def test_a_changed_role_stands_in_the_trail_and_nobody_becomes_a_superuser(
    administrator: Client, users: UserFactory
) -> None:
    ana = users("support", name="ana")
    fields = {
        "username": "ana",
        "is_active": "on",
        "is_staff": "on",
        "groups": Group.objects.get(name="engineer").pk,
        "is_superuser": "on",
        "user_permissions": "1",
    }
    assert administrator.post(f"/auth/user/{ana.pk}/change/", fields).status_code == 302
    ana.refresh_from_db()
    assert not ana.is_superuser
    assert not ana.user_permissions.exists()
    assert [group.name for group in ana.groups.all()] == ["engineer"]
    entry = AuditEntry.objects.get(event="user.changed")
    assert entry.data == {
        "role": "engineer",
        "active": True,
        "fields": ["Groups"],
        "granted": ["engineer"],
        "taken": ["support"],
    }


def test_a_password_set_by_an_administrator_stands_in_the_trail(
    administrator: Client, users: UserFactory
) -> None:
    ana = users("support", name="ana")
    password = "another-long-password-8"
    fields = {"password1": password, "password2": password, "usable_password": "true", "set-password": "1"}
    administrator.post(f"/auth/user/{ana.pk}/password/", fields)
    ana.refresh_from_db()
    assert ana.check_password(password)
    assert AuditEntry.objects.get(event="user.changed").data["fields"] == ["password"]


def test_an_administrator_does_not_reach_a_superusers_account(
    administrator: Client, users: UserFactory
) -> None:
    root = users("support", name="root")
    User.objects.filter(pk=root.pk).update(is_superuser=True)
    answer = administrator.post(f"/auth/user/{root.pk}/password/", {"password1": "x", "password2": "x"})
    assert answer.status_code == 404
    assert administrator.get(f"/auth/user/{root.pk}/change/", follow=True).redirect_chain


@pytest.mark.parametrize("role", ["support", "engineer", "approver", "auditor"])
def test_others_see_no_accounts(db: None, client: Client, users: UserFactory, role: str) -> None:
    client.force_login(users(role))
    assert client.get("/auth/user/").status_code == 403
    assert "/auth/user/" not in client.get("/").content.decode()


def test_roles_can_be_looked_at_and_not_changed(administrator: Client) -> None:
    group = Group.objects.get(name="support")
    assert administrator.get(f"/auth/group/{group.pk}/change/").status_code == 200
    assert administrator.post(f"/auth/group/{group.pk}/change/", {"name": "other"}).status_code == 403
    assert administrator.get(f"/auth/group/{group.pk}/delete/").status_code == 403
