"""An auditor's way through the pages: draw, judge one after the other, conclude, print; and what is refused there."""

from typing import Any

import psycopg
import pytest
from django.contrib.auth.models import User
from django.test import Client

from remediation.audit_sample import record_verdict
from remediation.models import AuditSample, AuditSampleConclusion, AuditSampleVerdict, Job
from tests.conftest import UserFactory
from tests.remediation.driving import applied, approved, previewed
from tests.remediation.incident import report
from tests.remediation.tampering import tamper
from transactions.calculators import calculator

pytestmark = pytest.mark.usefixtures("committed_db")

ASKED = {"confidence": "95", "tolerable": "40", "expected": "0", "seed": "dice 4 2 6"}


@pytest.fixture
def job(users: UserFactory) -> Job:
    """Ten corrections: of them 4 may not be wrong, which takes 5 to rule out (C(6,5) / C(10,5) = 6/252; 4 leave 15/210)."""
    report(10)
    ada, ben = users("engineer", name="ada"), users("approver", name="ben")
    return applied(approved(previewed(ada), ben), ada)


@pytest.fixture
def auditor(client: Client, users: UserFactory) -> User:
    cleo = users("auditor", name="cleo")
    client.force_login(cleo)
    return cleo


def said(answer: Any) -> list[str]:
    assert answer.status_code == 200
    return [str(message) for message in answer.context["messages"]]


def draw(client: Client, job: Job, **fields: str) -> Any:
    return client.post(f"/remediation/job/{job.pk}/draw-sample/", ASKED | fields, follow=True)


def judge(client: Client, sample: AuditSample, number: int, **fields: str) -> Any:
    return client.post(
        f"/remediation/auditsample/{sample.pk}/items/{number}/judge/", {"newest": ""} | fields, follow=True
    )


def test_an_auditor_draws_judges_concludes_and_prints(client: Client, job: Job, auditor: User) -> None:
    assert (
        f"/remediation/job/{job.pk}/draw-sample/"
        in client.get(f"/remediation/job/{job.pk}/").content.decode()
    )
    outlook = client.get(f"/remediation/job/{job.pk}/draw-sample/", ASKED)
    assert (outlook.context["population"], outlook.context["size"], outlook.context["allowed"]) == (10, 5, 0)
    assert said(draw(client, job)) == [
        f"Audit sample 1 of job {job.pk}: 5 of 10 corrections. Each waits for your verdict."
    ]
    sample = AuditSample.objects.get()
    for number in range(1, 6):
        page = client.get(f"/remediation/auditsample/{sample.pk}/items/{number}/").content.decode()
        assert "the same" in page
        assert "as approved" in page
        assert "It stands on the correction." in page
        answer = judge(client, sample, number, verdict="correct")
        assert said(answer) == [f"Correction {number}: correct."]
        # On to the next without a verdict, at last to the sample.
        following = f"items/{number + 1}/" if number < 5 else f"/remediation/auditsample/{sample.pk}/"
        assert answer.redirect_chain[-1][0].endswith(following)
    page = client.get(f"/remediation/auditsample/{sample.pk}/").content.decode()
    assert '<span class="badge good">accepted</span> 0 errors among 5 drawn of 10 corrections' in page
    assert "Drawn again just now from the seed: the same 5 positions." in page
    assert "No other sample of the job was drawn." in page
    answer = client.post(f"/remediation/auditsample/{sample.pk}/conclude/", {"comment": "Fine."}, follow=True)
    assert said(answer)[0].startswith("Concluded. Accepted: 0 errors")
    printed = client.get(f"/remediation/auditsample/{sample.pk}/report/").content.decode()
    assert "cleo concluded" in printed
    assert "“Fine.”" in printed
    assert printed.count("<td>the same<br>cleo, ") == 5
    assert f"Audit sample {sample.pk}" in client.get("/remediation/auditsample/").content.decode()
    assert (
        f"Audit sample {sample.pk}" in client.get(f"/remediation/auditsample/?job={job.pk}").content.decode()
    )


def test_a_wrong_correction_is_told_in_money_as_people_write_it(
    client: Client, job: Job, auditor: User
) -> None:
    draw(client, job)
    sample = AuditSample.objects.get()
    item = sample.items.get(number=1)
    right = item.calculation.total + 5
    for fields, refused in (
        ({"verdict": "wrong", "right_total": "1.234", "comment": "No."}, "digits after the point"),
        ({"verdict": "wrong", "right_total": "ten", "comment": "No."}, "not a plain decimal number"),
        ({"verdict": "wrong", "comment": "No."}, "what the total should be"),
        ({"verdict": "cannot_tell"}, "why it cannot be told"),
        ({"verdict": "maybe"}, "Say whether"),
        ({}, "Say whether"),
    ):
        assert refused in said(judge(client, sample, 1, **fields))[0]
    assert not AuditSampleVerdict.objects.exists()
    judge(
        client, sample, 1, verdict="wrong", right_total=f"{right // 100}.{right % 100:02}", comment="The cap."
    )
    assert AuditSampleVerdict.objects.get().wrong_by == -5
    page = client.get(f"/remediation/auditsample/{sample.pk}/items/1/").content.decode()
    assert "total too low by" in page
    assert "USD\N{NO-BREAK SPACE}−0.05" in page
    # Somebody who still sees the page without that verdict is told, and changes nothing.
    assert "Meanwhile there is another verdict" in said(judge(client, sample, 1, verdict="correct"))[0]
    assert AuditSampleVerdict.objects.count() == 1
    assert (
        "It cannot be accepted any more."
        in client.get(f"/remediation/auditsample/{sample.pk}/").content.decode()
    )


def test_others_see_but_cannot_draw_or_judge(
    client: Client, job: Job, auditor: User, users: UserFactory
) -> None:
    draw(client, job)
    sample = AuditSample.objects.get()
    for person in (users("support"), users("engineer", name="ada")):
        client.force_login(person)
        page = client.get(f"/remediation/auditsample/{sample.pk}/items/1/")
        assert "Auditors give the verdict." in page.content.decode()
        assert "lacks the permission" in said(judge(client, sample, 1, verdict="correct"))[0]
        assert "lacks the permission" in said(draw(client, job, seed="another"))[0]
        answer = client.post(f"/remediation/auditsample/{sample.pk}/conclude/", follow=True)
        assert "lacks the permission" in said(answer)[0]
    assert AuditSample.objects.count() == 1
    assert not AuditSampleVerdict.objects.exists()
    ada = users("engineer", name="ada")
    ada.groups.add(auditor.groups.get())
    client.force_login(User.objects.get(pk=ada.pk))
    refused = client.get(f"/remediation/auditsample/{sample.pk}/items/1/").content.decode()
    assert "somebody else judges its corrections" in refused
    assert 'name="verdict"' not in refused


def test_what_cannot_be_drawn_is_said_with_the_form_as_it_was_typed(
    client: Client, job: Job, auditor: User
) -> None:
    answer = draw(client, job, confidence="100", seed="<b>")
    assert "between 50 % and 99.99 %" in said(answer)[0]
    assert answer.context["asked"].confidence == "100"
    assert "&lt;b&gt;" in answer.content.decode()
    assert "is no number of percent" in said(draw(client, job, tolerable="much"))[0]
    preview = job.case.jobs.get(kind="preview")
    answer = client.get(f"/remediation/job/{preview.pk}/draw-sample/", follow=True)
    assert "only an apply that has ended" in said(answer)[0]
    for missing in ("items/6/", "items/99999999999/", "?after=x"):
        assert client.get(f"/remediation/auditsample/1/{missing}").status_code == 404
    assert not AuditSample.objects.exists()


def test_other_code_and_changed_rows_stand_out(
    client: Client,
    job: Job,
    auditor: User,
    owner_connection: "psycopg.Connection[Any]",
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    draw(client, job)
    sample = AuditSample.objects.get()
    first, second, third = sample.items.all()[:3]
    judge(client, sample, 1, verdict="correct")
    tamper(
        owner_connection,
        "UPDATE transactions_calculation SET amounts = jsonb_set(amounts, '{total}', '77777'), total = 77777"
        f" WHERE id = {first.calculation_id}",
    )
    tamper(owner_connection, f"DELETE FROM transactions_transaction WHERE id = {second.transaction_id}")
    page = client.get(f"/remediation/auditsample/{sample.pk}/").content.decode()
    assert page.count("differs") == 1
    assert page.count(">changed<") == 1
    assert "is not there any more" in page
    assert (
        "do not hash to the leaf"
        in client.get(f"/remediation/auditsample/{sample.pk}/items/1/").content.decode()
    )
    assert (
        "is not there any more"
        in client.get(f"/remediation/auditsample/{sample.pk}/items/2/").content.decode()
    )
    judge(client, sample, 2, verdict="cannot_tell", comment="Gone.")
    printed = client.get(f"/remediation/auditsample/{sample.pk}/report/").content.decode()
    assert "rows gone" in printed
    # The verdict was given on other totals than the row has now.
    assert printed.count("Its rows were changed since the verdict.") == 1
    monkeypatch.setitem(calculator("fee", "2.0.0").__dict__, "code_digest", "0" * 64)
    page = client.get(f"/remediation/auditsample/{sample.pk}/items/{third.number}/").content.decode()
    assert "Not recomputed: the code that the plan was previewed with is not here." in page
    tamper(
        owner_connection,
        f"UPDATE remediation_auditsampleitem SET position = position + 100 WHERE id = {third.pk}",
    )
    page = client.get(f"/remediation/auditsample/{sample.pk}/").content.decode()
    assert "Its seed does not lead to these corrections" in page


def test_a_conclusion_is_out_of_date_when_a_verdict_changes(client: Client, job: Job, auditor: User) -> None:
    draw(client, job)
    sample = AuditSample.objects.get()
    for item in sample.items.all():
        record_verdict(item, AuditSampleVerdict.Verdict.CORRECT, acting_user=auditor)
    client.post(f"/remediation/auditsample/{sample.pk}/conclude/", follow=True)
    newest = AuditSampleVerdict.objects.get(item__number=3, item__sample=sample)
    judge(client, sample, 3, newest=str(newest.pk), verdict="cannot_tell", comment="I was too quick.")
    page = client.get(f"/remediation/auditsample/{sample.pk}/").content.decode()
    assert "Verdicts were changed since: conclude anew." in page
    client.post(f"/remediation/auditsample/{sample.pk}/conclude/", follow=True)
    assert [each.accepted for each in AuditSampleConclusion.objects.order_by("pk")] == [True, False]


def test_an_auditor_finds_where_to_draw_and_what_was_drawn_from_the_menu_and_the_first_page(
    client: Client, job: Job, auditor: User, users: UserFactory
) -> None:
    to_draw, all_of_them = (
        f'href="/remediation/job/{job.pk}/draw-sample/"',
        'href="/remediation/auditsample/"',
    )
    first, listed = client.get("/").content.decode(), client.get("/remediation/auditsample/").content.decode()
    assert f"<a {all_of_them}>Draw a sample, and all that were drawn</a>" in first
    assert to_draw in listed
    assert "no sample was drawn yet" in listed
    assert f'{all_of_them} aria-current="page"' in listed
    draw(client, job)
    sample = AuditSample.objects.get()
    judge(client, sample, 1, verdict="correct")
    first = client.get("/").content.decode()
    assert f'href="/remediation/auditsample/{sample.pk}/"' in first
    assert f"{AuditSampleVerdict.objects.count()} of 5 judged, not concluded yet." in first
    assert "1 sample was drawn" in client.get("/remediation/auditsample/").content.decode()
    client.force_login(users("support"))
    page = client.get("/").content.decode()
    assert "audit-samples" not in page
    assert f"<a {all_of_them}>Audit samples</a><a" not in page
