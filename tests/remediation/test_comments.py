"""Comments on a case: by everyone who may, for good, and in the trail."""

import pytest
from django.contrib.auth.models import User
from django.db import Error, connection, transaction
from django.test import Client

from audit.models import AuditEntry
from audit.permission import NotPermitted
from remediation.comment import NothingSaid, comment_on
from remediation.models import CaseComment
from tests.conftest import UserFactory
from tests.remediation.driving import opened
from tests.remediation.incident import report

pytestmark = pytest.mark.usefixtures("db")


@pytest.mark.parametrize("role", ["support", "engineer", "approver", "administrator"])
def test_a_comment_stands_with_its_author_on_page_and_in_the_trail(
    client: Client, users: UserFactory, engineer: User, role: str
) -> None:
    report(1)
    case = opened(engineer)
    client.force_login(users(role))
    for _ in range(2):
        answer = client.post(
            f"/remediation/case/{case.pk}/comment/", {"text": " A <b>word</b>. "}, follow=True
        )
        assert "Your comment stands." in [str(each) for each in answer.context["messages"]]
    comment = CaseComment.objects.get()
    assert (comment.text, comment.written_by) == ("A <b>word</b>.", users(role))
    entry = AuditEntry.objects.get(event="case.commented")
    assert (entry.reason, entry.data, entry.actor_label) == (
        "A <b>word</b>.",
        {"comment": comment.pk},
        f"test-{role}",
    )
    assert "A &lt;b&gt;word&lt;/b&gt;." in answer.content.decode()
    assert "commented on the case" in " ".join(step.text for step in answer.context["life"].steps)


def test_auditors_write_nothing(client: Client, users: UserFactory, engineer: User) -> None:
    report(1)
    case = opened(engineer)
    auditor = users("auditor")
    with pytest.raises(NotPermitted):
        comment_on(case, "A word.", acting_user=auditor)
    client.force_login(auditor)
    assert "Say something" not in client.get(f"/remediation/case/{case.pk}/").content.decode()
    assert not CaseComment.objects.exists()


def test_a_comment_says_something_and_not_too_much(engineer: User) -> None:
    report(1)
    case = opened(engineer)
    for text in ("", "  \n", "x" * 4001):
        with pytest.raises(NothingSaid):
            comment_on(case, text, acting_user=engineer)


def test_nobody_changes_or_deletes_a_comment(engineer: User) -> None:
    report(1)
    comment = comment_on(opened(engineer), "A word.", acting_user=engineer)
    for statement in (
        "UPDATE remediation_casecomment SET text = 'x' WHERE id = %s",
        "DELETE FROM remediation_casecomment WHERE id = %s",
    ):
        with pytest.raises(Error), transaction.atomic(), connection.cursor() as cursor:
            cursor.execute(statement, [comment.pk])
