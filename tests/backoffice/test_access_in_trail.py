"""Who signs in and out, who tries to, and who tries what they may not do stands in the trail, and no flood fills it."""

from typing import Any

import pytest
from django.contrib.auth import authenticate
from django.contrib.auth.models import User
from django.db import transaction
from django.test import Client

from audit import denied
from audit.command_line import AmendsCommand
from audit.denied import denials_recorded
from audit.flood import Limit
from audit.models import AuditEntry
from audit.permission import NotPermitted, demand
from audit.sentence import sentence
from audit.step_up import confirmed_by_operator
from backoffice import sign_in
from remediation.approval import OwnWork, approve
from tests.conftest import PASSWORD, UserFactory
from tests.remediation.driving import digest, previewed
from tests.remediation.incident import report


def entries(event: str) -> list[AuditEntry]:
    return list(AuditEntry.objects.filter(event=event).order_by("id"))


def try_to_sign_in(client: Client, name: str, password: str) -> int:
    return client.post("/login/", {"username": name, "password": password}).status_code


def test_signing_in_and_out_stands_in_the_trail(db: None, client: Client, users: UserFactory) -> None:
    ana = users("engineer", name="ana")
    assert try_to_sign_in(client, "ana", PASSWORD) == 302
    client.post("/logout/")
    came, went = entries("user.signed_in"), entries("user.signed_out")
    assert [(e.actor_id, e.subject_id, e.data, sentence(e)) for e in came] == [
        (ana.pk, ana.pk, {"address": "127.0.0.1"}, "ana signed in")
    ]
    assert [sentence(e) for e in went] == ["ana signed out"]
    assert came[0].request_id


def test_a_wrong_password_stands_in_the_trail_with_the_account_it_was_tried_on(
    db: None, client: Client, users: UserFactory
) -> None:
    ana = users("engineer", name="ana")
    assert try_to_sign_in(client, "ana", "wrong") == 200
    (entry,) = entries("user.sign_in_failed")
    assert (entry.actor_id, entry.subject_id, sentence(entry)) == (
        None,
        ana.pk,
        "somebody failed to sign in as ana",
    )
    assert entry.data == {"address": "127.0.0.1", "name_hash": ""}
    assert not entries("user.signed_in")


def test_a_name_that_nobody_has_is_not_written_down_but_known_again(db: None, client: Client) -> None:
    for name in ("my-secret-password", "my-secret-password", "other", "nul\0"):
        try_to_sign_in(client, name, "x")
    found = entries("user.sign_in_failed")
    assert not any("secret" in str(vars(entry)) for entry in found)
    hashes = [entry.data["name_hash"] for entry in found]
    assert hashes[0] == hashes[1] != hashes[2]
    assert {entry.subject_id for entry in found} == {0}
    assert sentence(found[0]) == "somebody failed to sign in as an unknown name"


def test_a_flood_of_failures_is_cut_off_told_once_and_hides_no_success(
    db: None, users: UserFactory, client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sign_in, "FAILURES", Limit(a_subject=3, in_all=8))
    users("engineer", name="ana")
    for _ in range(20):
        authenticate(username="ana", password="wrong")
    assert len(entries("user.sign_in_failed")) == 3
    (flood,) = entries("trail.flooded")
    assert flood.data == {"kind": "user.sign_in_failed", "of": "ana", "most": 3, "minutes": 10}
    for number in range(40):
        authenticate(username=f"name-{number}", password="wrong")
    assert len(entries("user.sign_in_failed")) == 8
    assert [entry.data["of"] for entry in entries("trail.flooded")] == ["ana", ""]
    assert try_to_sign_in(client, "ana", PASSWORD) == 302
    assert len(entries("user.signed_in")) == 1


def test_a_page_that_a_role_does_not_open_stands_in_the_trail(
    db: None, client: Client, users: UserFactory
) -> None:
    client.force_login(users("support", name="sue"))
    assert client.get("/auth/user/").status_code == 403
    (entry,) = entries("access.denied")
    assert (entry.actor_label, entry.data["where"]) == ("sue", "GET /auth/user/")
    assert sentence(entry) == "sue tried what they may not do"


def test_a_button_that_a_role_may_not_press_stands_in_the_trail_though_all_else_is_rolled_back(
    db: None, client: Client, users: UserFactory
) -> None:
    report(2)
    plan = previewed(users("engineer", name="ana"))
    client.force_login(users("support", name="sue"))
    client.post(f"/remediation/plan/{plan.pk}/approve/", {"digest": digest(plan)})
    (entry,) = entries("access.denied")
    assert entry.data == {
        "tried": "can approve and reject plans",
        "where": f"POST /remediation/plan/{plan.pk}/approve/",
    }
    with denials_recorded("a test"), pytest.raises(NotPermitted), transaction.atomic():
        demand(users("support", name="sue"), "remediation.apply_plan")
    assert entries("access.denied")[-1].data == {"tried": "can apply approved plans", "where": "a test"}


def test_deciding_on_ones_own_work_stands_in_the_trail(db: None, users: UserFactory) -> None:
    report(2)
    both = users("engineer", name="ana")
    both.groups.add(users("approver").groups.get())
    plan = previewed(both)
    with denials_recorded("a test"), pytest.raises(OwnWork):
        approve(
            plan,
            digest(plan),
            acting_user=User.objects.get(pk=both.pk),
            confirmed=confirmed_by_operator(User.objects.get(pk=both.pk)),
        )
    (entry,) = entries("access.denied")
    assert (entry.actor_label, entry.data["tried"]) == ("ana", f"decide on own work: {plan}")


def test_a_commands_refusal_stands_in_the_trail(
    db: None, users: UserFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    users("support", name="sue")
    monkeypatch.setenv("AMENDS_PASSWORD", PASSWORD)

    class Applies(AmendsCommand):
        changes_something = True

        def answer(self, **options: Any) -> dict[str, Any]:
            demand(options["acting_user"], "remediation.apply_plan")
            return {}

    with pytest.raises(NotPermitted):
        Applies().handle(acting_as="sue", as_json=False)
    assert [entry.data["tried"] for entry in entries("access.denied")] == ["can apply approved plans"]


def test_a_flood_of_denied_attempts_is_cut_off(
    db: None, client: Client, users: UserFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(denied, "LIMIT", Limit(a_subject=4, in_all=100))
    client.force_login(users("support", name="sue"))
    for _ in range(10):
        client.get("/auth/user/")
    assert len(entries("access.denied")) == 4
    assert [entry.data["of"] for entry in entries("trail.flooded")] == ["sue"]


def test_a_form_without_its_token_stands_in_the_trail_as_nobodys(db: None) -> None:
    assert Client(enforce_csrf_checks=True).post("/login/", {}).status_code == 403
    (entry,) = entries("access.denied")
    assert (entry.actor_id, entry.actor_label, entry.subject_label) == (None, "Amends", "nobody signed in")


def test_changing_ones_own_password_stands_in_the_trail(db: None, client: Client, users: UserFactory) -> None:
    client.force_login(users("support", name="sue"))
    new = "another-long-password-8"
    wrong = {"old_password": "wrong", "new_password1": new, "new_password2": new}
    client.post("/password_change/", wrong)
    assert not entries("user.password_changed")
    client.post("/password_change/", wrong | {"old_password": PASSWORD})
    assert [sentence(entry) for entry in entries("user.password_changed")] == [
        "sue changed their own password"
    ]
