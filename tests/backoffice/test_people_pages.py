"""The pages of people's accounts, for administrators."""

import re
from typing import Any

import pytest
from django.contrib.auth.models import Group, User
from django.test import Client

from audit.models import AuditEntry
from backoffice.roles import MAY, ROLES
from tests.conftest import PASSWORD, UserFactory


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
    administrator.post("/auth/user/add/", fields)
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
        "fields": ["Roles"],
        "granted": ["engineer"],
        "taken": ["support"],
    }


def test_a_password_set_by_an_administrator_stands_in_the_trail(
    administrator: Client, users: UserFactory
) -> None:
    ana = users("support", name="ana")
    password = "another-long-password-8"
    fields = {"password1": password, "password2": password, "set-password": "1"}
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


def test_a_persons_page_says_whether_there_is_a_password_and_nothing_of_what_was_made_of_it(
    administrator: Client, users: UserFactory
) -> None:
    ana = users("support", name="ana")
    page = administrator.get(f"/auth/user/{ana.pk}/change/").content.decode()
    algorithm, _iterations, salt, hashed = ana.password.split("$")
    for part in (algorithm, salt, hashed, salt[:6] + "*", "iterations"):
        assert part not in page
    assert "One is set." in page
    assert f'href="/auth/user/{ana.pk}/password/"' in page
    ana.set_unusable_password()
    ana.save()
    assert "None is set" in administrator.get(f"/auth/user/{ana.pk}/change/").content.decode()


def test_roles_are_told_in_the_words_of_the_policy_page(administrator: Client, users: UserFactory) -> None:
    ana = users("support", name="ana")
    words = "Approves and rejects plans that somebody else asked for"
    pages = [f"/auth/user/{ana.pk}/change/", "/auth/user/add/", "/policy/"]
    pages.append(f"/auth/group/{Group.objects.get(name='approver').pk}/change/")
    assert [words in administrator.get(page).content.decode() for page in pages] == [True] * 4
    shown = administrator.get(pages[0]).content.decode()
    for words_of_the_schema in ("Groups", "Staff status", "superuser"):
        assert words_of_the_schema not in shown
    assert "May sign in to Amends" in shown
    assert set(MAY) == set(ROLES)


def test_a_form_about_a_person_takes_no_password_away(administrator: Client, users: UserFactory) -> None:
    ana = users("support", name="ana")
    fields = {"usable_password": "false", "unset-password": "1", "password": "x"}
    assert administrator.post(f"/auth/user/{ana.pk}/password/", fields).status_code == 200
    person = {"username": "ana", "is_active": "on", "is_staff": "on", "groups": ana.groups.get().pk}
    assert administrator.post(f"/auth/user/{ana.pk}/change/", person | fields).status_code == 302
    ana.refresh_from_db()
    assert ana.check_password(PASSWORD)


def test_a_new_account_may_sign_in_unless_that_is_taken_off(administrator: Client) -> None:
    assert re.search(r'name="is_staff"[^>]*checked', administrator.get("/auth/user/add/").content.decode())


def test_what_is_wrong_with_a_form_is_told_beside_its_field(administrator: Client) -> None:
    page = administrator.post("/auth/user/add/", {"username": "a b", "password1": "1", "password2": "2"})
    shown = page.content.decode()
    assert "Nothing was saved" in shown
    assert shown.count('class="errorlist"') >= 2
    assert not User.objects.filter(username="a b").exists()


def test_the_list_of_people_tells_their_roles_and_is_narrowed_by_them(
    administrator: Client, users: UserFactory, django_assert_max_num_queries: Any
) -> None:
    for name in ("ana", "ben", "cleo"):
        users("support", name=name)
    users("approver", name="dora").groups.add(Group.objects.get(name="auditor"))
    with django_assert_max_num_queries(15):
        page = administrator.get("/auth/user/").content.decode()
    assert "<h1>People</h1>" in page
    assert "approver, auditor" in page
    approvers = administrator.get(f"/auth/user/?groups__id__exact={Group.objects.get(name='approver').pk}")
    assert "dora" in approvers.content.decode()
    assert "cleo" not in approvers.content.decode()


def test_signing_in_says_nothing_of_which_names_there_are(
    db: None, client: Client, users: UserFactory
) -> None:
    User.objects.filter(pk=users("support", name="gone").pk).update(is_staff=False)
    for name, password in (("gone", PASSWORD), ("gone", "wrong"), ("nobody", "wrong")):
        page = client.post("/login/", {"username": name, "password": password}).content.decode()
        assert "That name and that password do not belong together" in page
