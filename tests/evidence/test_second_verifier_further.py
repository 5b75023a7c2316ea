"""The two verifiers agree on what one small case does not have: many chunks and ranges, a quarantined row, leaves of the first format, and
a key that handed over.
"""

from pathlib import Path
from typing import Any

import psycopg
import pytest

from remediation.apply import start_apply
from remediation.models import Case
from tests.conftest import UserFactory
from tests.evidence.packing import Signing, edited, pack_of, put_together, rows, taken_apart
from tests.evidence.test_pack import changed, more
from tests.evidence.test_second_verifier import both
from tests.remediation.driving import approved, previewed, work_until_ended
from tests.remediation.incident import report
from tests.remediation.test_attempts import lose_a_worker

Made = tuple[Path, Signing, Case]


@pytest.fixture(params=[2, 1], ids=["leaves of format 2", "leaves of format 1"])
def made(
    request: pytest.FixtureRequest,
    owner_connection: "psycopg.Connection[Any]",
    users: UserFactory,
    tmp_path: Path,
    settings: Any,
) -> Made:
    """Nine rows in chunks of three, applied two and one at a time; the first is quarantined; the key hands over before the apply."""
    owner_connection.execute(
        f"ALTER TABLE remediation_planchunk ALTER leaf_format SET DEFAULT {request.param}"
    )
    settings.AMENDS_PLAN_CHUNK_ROWS = 3
    signing = Signing(tmp_path)
    signing.turn()
    report(9)
    plan = approved(previewed(users("engineer")), users("approver"))
    signing.hand_over()
    job = start_apply(plan, acting_user=users("engineer"))
    while not job.chunks.filter(status="quarantined").exists():
        lose_a_worker(job)
    job.refresh_from_db()
    work_until_ended(job)
    assert job.status == "finished"
    signing.turn()
    return pack_of(plan.case, tmp_path / "pack.zip", users("auditor")), signing, plan.case


def test_they_agree_on_it_and_on_what_is_changed_of_it(made: Made, tmp_path: Path) -> None:
    pack, signing, _ = made
    members = taken_apart(pack)
    assert {row["leaf_format"] for row in rows(members, "chunks.ndjson")} <= {1, 2}
    assert len(rows(members, "chunks.ndjson")) == 3
    assert len(rows(members, "keys.ndjson")) == 2
    assert sorted(row["fate"] for row in rows(members, "corrections.ndjson")) == ["applied"] * 8 + ["failed"]
    assert both(pack, signing, signing.last)[:2] == ("ok", "ok")

    def told_applied(found: list[dict[str, Any]]) -> None:
        next(row for row in found if row["fate"] == "failed")["fate"] = "applied"

    def amounts(found: list[dict[str, Any]]) -> None:
        found[-1]["after"]["amounts_text"] = more(found[-1]["after"]["amounts_text"])

    def format_told_otherwise(found: list[dict[str, Any]]) -> None:
        found[1]["leaf_format"] = 3 - found[1]["leaf_format"]

    changes = {
        "a quarantined row told as applied": edited("corrections.ndjson", told_applied),
        "the amounts of the last row of the last chunk": edited("corrections.ndjson", amounts),
        "two chunks' places swapped": edited(
            "chunks.ndjson", lambda found: (found[0].update(position=1), found[1].update(position=0))
        ),
        "a chunk's format": edited("chunks.ndjson", format_told_otherwise),
        "the hand-over left out": edited(
            "checkpoints.ndjson",
            lambda found: found.remove(next(row for row in found if "new-key" in row["text"])),
        ),
        "an entry of one range gone": edited(
            "entries.ndjson",
            lambda found: found.remove(next(row for row in found if row["event"] == "chunk.applied")),
        ),
        "one range moved": changed(
            "entries.ndjson",
            lambda row: row.update(data=row["data"].replace('"first_leaf": 1', '"first_leaf": 0')),
            where=lambda row: row["event"] == "chunk.applied" and '"first_leaf": 1' in row["data"],
        ),
    }
    wrong = []
    for number, (what, change) in enumerate(changes.items()):
        members = taken_apart(pack)
        before = dict(members)
        change(members)
        assert members != before, what
        one, other, why = both(put_together(members, tmp_path / f"{number}.zip"), signing)
        if (one, other) != ("tampered", "tampered"):
            wrong.append(f"{what}: verify.py {one}, the second {other}\n{why}")
    assert not wrong, "\n".join(wrong)
