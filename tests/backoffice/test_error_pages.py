"""What cannot be shown is told in the frame of all pages, with what to do next."""

import pytest
from django.contrib.auth.models import User
from django.template.loader import render_to_string
from django.test import Client

from tests.conftest import UserFactory


@pytest.fixture
def reader(db: None, client: Client, engineer: User) -> Client:
    client.force_login(engineer)
    return client


@pytest.mark.parametrize(
    ("path", "status", "told"),
    [
        ("/remediation/plan/999999/", 404, "There is no plan 999999."),
        ("/nowhere/at/all/", 404, "There is no such page"),
        ("/auth/user/", 403, "You may not see this"),
    ],
)
def test_what_is_not_there_or_not_permitted_keeps_the_navigation(
    reader: Client, path: str, status: int, told: str
) -> None:
    answer = reader.get(path)
    page = answer.content.decode()
    assert answer.status_code == status
    assert told in page
    assert "What to do" in page
    assert 'href="/remediation/job/"' in page
    assert "Log out" in page


def test_far_too_much_at_once_is_answered_in_the_frame(reader: Client) -> None:
    answer = reader.post("/preferences/", {f"field-{number}": "x" for number in range(1001)})
    assert answer.status_code == 400
    assert "That could not be understood" in answer.content.decode()


def test_a_form_without_the_sessions_token_says_that_nothing_was_done(db: None, engineer: User) -> None:
    client = Client(enforce_csrf_checks=True)
    client.force_login(engineer)
    answer = client.post("/password_change/")
    page = answer.content.decode()
    assert answer.status_code == 403
    assert "Your browser sent no cookie" in page
    client.get("/password_change/")
    answer = client.post("/password_change/", {"csrfmiddlewaretoken": "x" * 64})
    assert "Somebody signed in or out in this browser" in answer.content.decode()
    assert "Log out" in answer.content.decode()


def test_signing_in_again_says_that_the_last_button_did_nothing(
    db: None, client: Client, users: UserFactory
) -> None:
    answer = client.post("/remediation/job/1/pause/", follow=True)
    assert answer.redirect_chain[0][0].startswith("/login/?next=")
    assert "a button that you pressed last did nothing" in answer.content.decode()
    assert "a button that you pressed last did nothing" not in client.get("/login/").content.decode()


def test_a_failure_of_ours_is_told_without_anything_that_could_fail_again() -> None:
    page = render_to_string("500.html")
    assert "Nothing was half done" in page
    assert "css/amends.css" in page
