"""The evidence pack of a case that leaves something out: both verifiers know its plans' format, and find what was changed of it."""

import json
from pathlib import Path

import pytest
from django.contrib.auth.models import User

from tests.conftest import UserFactory
from tests.evidence.packing import Change, Signing, check, edited, pack_of, put_together, taken_apart
from tests.evidence.second_verifier import verdict
from tests.evidence.test_pack import changed
from tests.remediation.driving import applied, approved, previewed_with_left_out, verified

pytestmark = pytest.mark.usefixtures("committed_db")

TAMPERED: dict[str, tuple[Change, str]] = {
    "how many were left out": (
        changed(
            "chunks.ndjson", lambda row: row.update(left_out=2), where=lambda row: row.get("left_out") == 3
        ),
        "its chunks are not the ones that its manifest covers",
    ),
    "the money of what was left out": (
        changed(
            "chunks.ndjson",
            lambda row: row.update(left_out_text=row["left_out_text"].replace("-30", "-29")),
            where=lambda row: row.get("left_out") == 3,
        ),
        "the money that its chunks left out does not add up",
    ),
    "an editor taken out of the case": (
        lambda members: members.update(
            {
                "case.json": json.dumps(
                    json.loads(members["case.json"])
                    | {"revisions": json.loads(members["case.json"])["revisions"][:1]}
                ).encode()
            }
        ),
        "whoever opened or edited the case",
    ),
    "a plan's format": (
        edited(
            "plans.ndjson",
            lambda rows: rows[1].update(manifest_text=rows[1]["manifest_text"].replace("plan/2", "plan/3")),
        ),
        "of a format that this program does not know",
    ),
}


def test_both_verifiers_know_what_was_left_out_and_find_what_was_changed(
    engineer: User, approver: User, users: UserFactory, tmp_path: Path
) -> None:
    plan = previewed_with_left_out(engineer, editor=users("engineer", name="editor"))
    case = plan.case
    applied(approved(plan, approver), engineer)
    verified(case, engineer)
    signing = Signing(tmp_path)
    signing.turn()
    pack = pack_of(case, tmp_path / "pack.zip", users("auditor"))
    answer = check(pack, "--key", signing.public)
    assert (
        answer.returncode,
        verdict(pack, keys=[bytes.fromhex(signing.public)], checkpoints=[]).answer,
    ) == (0, "ok"), answer.stdout
    passed = []
    for number, (what, (change, place)) in enumerate(TAMPERED.items()):
        members = taken_apart(pack)
        change(members)
        changed_pack = put_together(members, tmp_path / f"{number}.zip")
        answer = check(changed_pack)
        other = verdict(changed_pack, keys=[], checkpoints=[]).answer
        if (answer.returncode, place in answer.stdout, other) != (1, True, "tampered"):
            passed.append(f"{what}: {answer.returncode}, {other}\n{answer.stdout}{answer.stderr}")
    assert not passed, "\n".join(passed)
