"""The evidence pack of a plan that needs two approvals, though its totals change by little on the whole: both verifiers ask for both."""

import json
from pathlib import Path
from typing import Any

import pytest
from django.contrib.auth.models import Group
from hypothesis import given
from hypothesis import strategies as st

from remediation.case import edit_case
from remediation.evidence.verify import approvals_needed
from remediation.exclusions import Exclusions
from remediation.models import Plan
from remediation.policy import Policy
from tests.conftest import UserFactory
from tests.evidence.packing import (
    Change,
    Members,
    Signing,
    check,
    pack_of,
    put_together,
    rows,
    set_rows,
    taken_apart,
)
from tests.evidence.second_verifier import asked_by_policy, verdict
from tests.evidence.test_pack import changed, first
from tests.remediation.driving import applied, approved, previewed
from tests.remediation.incident import report

AMOUNTS = st.integers(-(10**15), 10**15)
LIMITS = st.dictionaries(
    st.sampled_from(["USD", "JPY", "EUR"]),
    st.decimals(0, 10**13, places=3).map(str) | st.integers(0, 10**13).map(str),
)
POLICIES = st.builds(
    Policy,
    approvals=st.integers(1, 3),
    approvals_for_large=st.integers(3, 5),
    large_count=st.integers(0, 5),
    large_money=LIMITS,
    largest_single=LIMITS,
)
KEYS = st.sampled_from(["USD:2", "USD:4", "JPY:0", "EUR:2"])
MONEY = st.dictionaries(KEYS, st.fixed_dictionaries({"delta": AMOUNTS, "largest": st.integers(0, 10**15)}))


@given(POLICIES, MONEY, st.dictionaries(KEYS, st.integers(0, 10**15)), st.integers(0, 10))
def test_both_verifiers_ask_for_as_many_as_the_policy(
    policy: Policy, money: dict[str, Any], moved: dict[str, int], proposed: int
) -> None:
    manifest = {"proposed": proposed, "money": money, "policy": policy.snapshot()}
    needed = policy.required_approvals(manifest, moved)
    assert (approvals_needed(manifest, moved), asked_by_policy(manifest, moved)) == (needed, needed)


@pytest.mark.parametrize(
    ("policy", "needed"),
    [
        ({}, 1),
        ({"approvals": 2}, 2),
        ({"approvals": 1, "approvals_for_large": 2, "large_count": 10, "fresh_hours": 24}, 1),
        ({"approvals": 1, "approvals_for_large": 2, "large_count": 9, "fresh_hours": 24}, 2),
    ],
)
def test_what_an_early_policy_does_not_say_sets_no_limit(policy: dict[str, Any], needed: int) -> None:
    manifest = {"proposed": 10, "money": {"USD:2": {"delta": 10**12, "largest": 10**12}}, "policy": policy}
    assert (approvals_needed(manifest, {}), asked_by_policy(manifest, {})) == (needed, needed)


def without_an_approval(members: Members) -> None:
    """The second approval is left out together with its entry, whose seal can be another case's."""
    *kept, left_out = rows(members, "approvals.ndjson")
    set_rows(members, "approvals.ndjson", kept)
    entries = [
        row
        for row in rows(members, "entries.ndjson")
        if (row["event"], row["actor"]) != ("plan.approved", str(left_out["decided_by"]))
    ]
    set_rows(members, "entries.ndjson", entries)


def of_case(edit: Any) -> Change:
    def change(members: Members) -> None:
        case = json.loads(members["case.json"])
        edit(case)
        members["case.json"] = json.dumps(case).encode()

    return change


def without_revision(number: int) -> Change:
    def change(members: Members) -> None:
        of_case(lambda case: case["revisions"].pop(number - 1))(members)
        if number > 1:
            return
        entries = [row for row in rows(members, "entries.ndjson") if row["event"] != "case.opened"]
        set_rows(members, "entries.ndjson", entries)

    return change


TAMPERED: dict[str, tuple[Change, str]] = {
    "one of two approvals left out with its entry": (
        without_an_approval,
        "were applied with 1 of the 2 approvals that it needs",
    ),
    "a plan's reason": (
        changed("plans.ndjson", lambda row: row.update(reason="Another."), where=first),
        "its reason is not the one in its manifest",
    ),
    "a case's reason beside its entry": (
        of_case(lambda case: case.update(reason="Another.")),
        "case.json: its reason or ticket is not that of entry",
    ),
    "a revision's criteria": (
        of_case(lambda case: case["revisions"][0].update(criteria={"calculator": "other"})),
        "case.json (revision 1): its editor, criteria, target",
    ),
    "what a revision leaves out": (
        of_case(lambda case: case["revisions"][1].update(exclusions={})),
        "case.json (revision 2): its editor, criteria, target",
    ),
    "a revision deleted": (
        without_revision(2),
        "case.json: revision 2 is missing, and entry",
    ),
    "the first revision deleted with its entry": (
        without_revision(1),
        "case.json: its revisions are not numbered from 1",
    ),
}


@pytest.fixture
def pack(committed_db: None, users: UserFactory, settings: Any, tmp_path: Path) -> tuple[Path, Signing]:
    """Of seven corrections, 40 cents up and 30 down; the case was edited by an approver after all of it was applied."""
    settings.AMENDS_APPROVAL_POLICY = {"approvals_for_large": 2, "large_money": {"USD": "0.30"}}
    report(4)
    report(3, fee_percent=3, first=10)
    engineer, approver = users("engineer"), users("approver")
    plan = previewed(engineer)
    approved(plan, users("approver", name="second"))
    applied(approved(Plan.objects.get(pk=plan.pk), approver), engineer)
    approver.groups.add(Group.objects.get(name="engineer"))
    left_out = Exclusions(causes=("fee up, total up",))
    edit_case(
        plan.case,
        reason="Later.",
        acting_user=type(approver).objects.get(pk=approver.pk),
        leave_out=left_out,
    )
    signing = Signing(tmp_path)
    signing.turn()
    return pack_of(plan.case, tmp_path / "pack.zip", users("auditor")), signing


def test_an_edit_after_all_was_applied_takes_no_approval_back(pack: tuple[Path, Signing]) -> None:
    path, signing = pack
    answer = check(path, "--key", signing.public)
    assert (answer.returncode, verdict(path, keys=[bytes.fromhex(signing.public)]).answer) == (0, "ok"), (
        answer.stdout
    )


def test_both_verifiers_name_what_was_changed_of_case_plan_and_approvals(
    pack: tuple[Path, Signing], tmp_path: Path
) -> None:
    path, _ = pack
    passed = []
    for number, (what, (change, place)) in enumerate(TAMPERED.items()):
        members = taken_apart(path)
        change(members)
        changed_pack = put_together(members, tmp_path / f"{number}.zip")
        answer, other = check(changed_pack), verdict(changed_pack).answer
        if (answer.returncode, place in answer.stdout, other) != (1, True, "tampered"):
            passed.append(f"{what}: {answer.returncode}, {other}\n{answer.stdout}{answer.stderr}")
    assert not passed, "\n".join(passed)
