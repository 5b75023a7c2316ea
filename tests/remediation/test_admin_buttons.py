"""The buttons: each asks one public function; what is refused becomes a message, and nothing changes."""

from typing import Any

import pytest
from django.test import Client

from audit.models import AuditEntry
from audit.step_up import confirmed_by_operator
from remediation.approval import approve
from remediation.models import Approval, Case, Job, Plan
from remediation.revert import request_revert
from remediation.runner import work
from tests.conftest import PASSWORD, UserFactory
from tests.remediation.driving import applied, approved, digest, previewed
from tests.remediation.incident import report, totals

pytestmark = pytest.mark.usefixtures("committed_db")


@pytest.fixture
def press(client: Client, users: UserFactory) -> Any:
    """`press("approver", plan, "approve", digest=…)` presses a button as somebody in that role, with their password.

    What the next page says.
    """

    def press(role: str, subject: Plan | Case, button: str, *, name: str = "", **fields: Any) -> list[str]:
        client.force_login(users(role, name=name))
        answer = client.post(
            f"/remediation/{subject._meta.model_name}/{subject.pk}/{button}/",
            {"password": PASSWORD} | fields,
            follow=True,
        )
        assert answer.status_code == 200, answer
        return [str(message) for message in answer.context["messages"]]

    return press


def test_an_approver_approves_and_an_engineer_applies(press: Any, users: UserFactory) -> None:
    ids = report(3)
    plan = previewed(users("engineer"))
    said = press("approver", plan, "approve", digest=digest(plan), comment=" Seen. ")
    assert said == [
        f"You approved {plan}: 3 corrections, USD\N{NO-BREAK SPACE}+0.30 in all. An engineer can apply it now."
    ]
    approval = Approval.objects.get()
    assert (approval.comment, bytes(approval.digest).hex()) == ("Seen.", digest(plan))
    assert press("engineer", plan, "apply") == [
        f"Applying {plan}: 3 corrections, USD\N{NO-BREAK SPACE}+0.30 in all."
    ]
    work(plan.jobs.get(kind="apply").pk, worker="test")
    assert totals(ids) == [1020, 1021, 1022]
    assert AuditEntry.objects.filter(event="plan.apply_started", actor_label="test-engineer").count() == 1
    assert AuditEntry.objects.exclude(request_id="").filter(event="plan.approved").exists()


def test_a_rejection_needs_a_comment_and_ends_the_plan(press: Any, users: UserFactory) -> None:
    report(3)
    plan = previewed(users("engineer"))
    assert (
        "Say why the plan is rejected"
        in press("approver", plan, "reject", digest=digest(plan), comment=" ")[0]
    )
    assert Plan.objects.get(pk=plan.pk).status == Plan.Status.READY
    assert press("approver", plan, "reject", digest=digest(plan), comment="No.") == [
        f"You rejected {plan}. Nothing was changed."
    ]
    assert Plan.objects.get(pk=plan.pk).status == Plan.Status.REJECTED


@pytest.mark.parametrize(
    ("role", "button", "fields", "said"),
    [
        ("approver", "approve", {"digest": "00" * 32}, "That is not the digest of"),
        ("approver", "approve", {}, "That is not the digest of"),
        ("support", "approve", {}, "lacks the permission"),
        ("engineer", "approve", {}, "lacks the permission"),
        ("auditor", "reject", {"comment": "No."}, "lacks the permission"),
        ("approver", "apply", {}, "lacks the permission"),
        ("engineer", "apply", {}, "only an approved plan can be applied"),
    ],
)
def test_what_is_refused_is_said_and_changes_nothing(
    press: Any, users: UserFactory, role: str, button: str, fields: dict[str, str], said: str
) -> None:
    ids = report(3)
    plan = previewed(users("engineer"))
    changes = AuditEntry.objects.filter(subject_type__startswith="remediation.")
    before, entries = totals(ids), changes.count()
    (message, *_) = press(role, plan, button, **fields)
    assert said in message
    assert Plan.objects.get(pk=plan.pk).status == Plan.Status.READY
    assert not Approval.objects.exists()
    assert (totals(ids), changes.count()) == (before, entries)
    assert AuditEntry.objects.filter(event="access.denied").exists() is ("permission" in said)


def test_nobody_approves_their_own_work_on_the_pages_either(
    press: Any, users: UserFactory, client: Client
) -> None:
    report(3)
    ana = users("engineer", name="ana")
    ana.groups.add(users("approver").groups.get())
    plan = previewed(ana)
    assert "You asked for" in press("engineer", plan, "approve", name="ana", digest=digest(plan))[0]
    page = client.get(f"/remediation/plan/{plan.pk}/").content.decode()
    assert "You asked for" in page
    assert "/approve/" not in page


def test_a_stale_button_tells_what_others_did_meanwhile_and_only_that(
    press: Any, users: UserFactory, client: Client
) -> None:
    report(3)
    plan = previewed(users("engineer"))
    client.force_login(users("approver"))
    seen = client.get(f"/remediation/plan/{plan.pk}/").context["newest_entry"]
    approve(
        plan,
        digest(plan),
        acting_user=users("approver", name="cleo"),
        confirmed=confirmed_by_operator(users("approver", name="cleo")),
    )
    said = press("approver", plan, "reject", digest=digest(plan), comment="No.", seen=seen)
    assert f"{plan} is approved: only a plan that is ready can be decided on." in said
    assert len(said) == 2
    assert said[1].endswith(f"cleo approved {plan}.")
    assert said[1].startswith("Meanwhile, at ")


def test_a_plan_applied_by_somebody_else_meanwhile_leads_to_their_job(press: Any, users: UserFactory) -> None:
    report(3)
    plan = approved(previewed(users("engineer")), users("approver"))
    applied(plan, users("engineer", name="dora"))
    (said,) = press("engineer", plan, "apply")
    assert "was applied by dora already" in said
    assert Job.objects.filter(kind="apply").count() == 1


def test_previewing_again_takes_away_only_the_plan_that_the_page_showed(
    press: Any, users: UserFactory
) -> None:
    report(3)
    plan = previewed(users("engineer"))
    said = press("engineer", plan.case, "preview", standing="")
    assert (
        f"The case is not as your page showed it: {plan} is open now. Nothing was done; look again." in said
    )
    assert Plan.objects.count() == 1
    newer = press("engineer", plan.case, "preview", standing=plan.pk)
    assert newer == [f"{Plan.objects.latest('pk')} is being previewed. It changes nothing."]
    assert Plan.objects.get(pk=plan.pk).status == Plan.Status.SUPERSEDED


def test_verify_starts_one_verification_and_leads_others_to_it(press: Any, users: UserFactory) -> None:
    report(3)
    case = previewed(users("engineer")).case
    assert press("engineer", case, "verify") == [f"{case} is being verified. It changes nothing."]
    assert (
        "test-engineer asked for this verification already"
        in press("engineer", case, "verify", name="dora")[0]
    )
    assert "lacks the permission" in press("support", case, "verify")[0]
    assert Job.objects.filter(kind="verify").count() == 1


def test_taking_back_names_the_plan_and_needs_approval_again(press: Any, users: UserFactory) -> None:
    ids = report(3)
    plan = approved(previewed(users("engineer")), users("approver"))
    assert "no such plan" in press("engineer", plan.case, "revert", standing=plan.pk, plan="999999")[0]
    applied(plan, users("engineer"))
    said = press("engineer", plan.case, "revert", standing="", plan=plan.pk, reason="It was right.")
    revert = Plan.objects.get(kind="revert")
    assert said == [f"{revert} is being prepared. It changes nothing until it is approved and applied."]
    assert (revert.source_plan, revert.reason, revert.status) == (plan, "It was right.", "previewing")
    assert totals(ids) == [1020, 1021, 1022]


def test_an_open_revert_is_not_pushed_aside_by_a_preview(press: Any, users: UserFactory) -> None:
    report(3)
    engineer = users("engineer")
    plan = approved(previewed(engineer), users("approver"))
    applied(plan, engineer)
    revert = request_revert(plan.case, acting_user=engineer)
    (said,) = press("engineer", plan.case, "preview", standing=revert.pk)
    assert said.startswith(f"{revert} is open")
    assert Plan.objects.get(pk=revert.pk).status == Plan.Status.PREVIEWING


def test_buttons_need_a_post_and_its_token(users: UserFactory) -> None:
    report(3)
    plan = previewed(users("engineer"))
    strict = Client(enforce_csrf_checks=True)
    strict.force_login(users("approver"))
    assert strict.post(f"/remediation/plan/{plan.pk}/approve/", {"digest": digest(plan)}).status_code == 403
    answer = strict.get(f"/remediation/plan/{plan.pk}/approve/")
    assert answer.headers["Location"] == f"/remediation/plan/{plan.pk}/"
    assert not Approval.objects.exists()


def test_a_case_that_does_not_exist_has_no_buttons(client: Client, users: UserFactory) -> None:
    client.force_login(users("engineer"))
    assert client.post("/remediation/case/12345/preview/").status_code == 404
    assert not Plan.objects.exists()
