"""An evidence pack convinces a stranger with nothing but Python, and no change of it does."""

import json
import shutil
import subprocess
import zipfile
from collections.abc import Callable
from datetime import datetime
from hashlib import sha256
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from django.test import Client
from django.urls import reverse
from django.utils import timezone
from hypothesis import given, settings
from hypothesis import strategies as st

from audit.models import AuditEntry
from audit.permission import NotPermitted
from remediation.evidence.verify import LONGEST_LINE, signature_holds
from remediation.models import Case
from tests.conftest import UserFactory
from tests.evidence.packing import (
    Change,
    Signing,
    check,
    corrected_case,
    edited,
    pack_of,
    put_together,
    rows,
    taken_apart,
)
from tests.remediation.driving import previewed
from tests.remediation.incident import report


@pytest.fixture
def made(committed_db: None, users: UserFactory, tmp_path: Path) -> tuple[Path, Signing, Case]:
    """The pack of a case that was applied and reverted, signed before and after."""
    signing = Signing(tmp_path)
    signing.turn()
    case = corrected_case(users("engineer"), users("approver"))
    signing.turn()
    return pack_of(case, tmp_path / "pack.zip", users("auditor")), signing, case


def test_a_stranger_is_convinced_by_python_alone(made: tuple[Path, Signing, Case]) -> None:
    pack, signing, _ = made
    answer = check(pack, "--key", signing.public, "--checkpoint", str(signing.last))
    assert (answer.returncode, answer.stderr) == (0, ""), answer.stdout
    assert "OK: everything agrees." in answer.stdout
    assert "9 corrections" in answer.stdout
    assert "Not proved" not in answer.stdout


def test_its_summary_is_in_utc_whatever_zone_its_taker_reads_pages_in(
    committed_db: None, users: UserFactory, tmp_path: Path
) -> None:
    report(1)
    case = previewed(users("engineer")).case
    with timezone.override(ZoneInfo("Asia/Tokyo")):
        pack = pack_of(case, tmp_path / "pack.zip", users("auditor"))
    members = taken_apart(pack)
    assert f"{case.opened_at:%Y-%m-%d %H:%M:%S} UTC" in members["summary.html"].decode()
    made_at = datetime.fromisoformat(json.loads(members["manifest.json"])["made_at"])
    assert f"made {made_at:%Y-%m-%d %H:%M:%S} UTC" in members["README.txt"].decode()


def test_every_correction_is_in_it_with_what_became_of_it(made: tuple[Path, Signing, Case]) -> None:
    members = taken_apart(made[0])
    told = [
        (
            row["plan"],
            row["transaction"]["reference"],
            row["fate"],
            row["transaction"]["currency"],
            *(json.loads(row[side]["amounts_text"])["total"] for side in ("before", "after")),
        )
        for row in rows(members, "corrections.ndjson")
    ]
    first, back = sorted({row[0] for row in told})
    assert told == [
        (first, "o-0", "applied", "USD", 1010, 1020),
        (first, "o-1", "conflict", "USD", 1011, 1021),
        (first, "o-2", "applied", "USD", 1012, 1022),
        (first, "o-3", "applied", "JPY", 1013, 1023),
        (first, "o-4", "applied", "JPY", 1014, 1024),
        (back, "o-0", "applied", "USD", 1020, 1010),
        (back, "o-2", "applied", "USD", 1022, 1012),
        (back, "o-3", "applied", "JPY", 1023, 1013),
        (back, "o-4", "applied", "JPY", 1024, 1014),
    ]


def test_who_took_it_stands_in_the_trail_with_the_packs_own_hash(made: tuple[Path, Signing, Case]) -> None:
    pack, _, case = made
    entry = AuditEntry.objects.get(event="case.exported")
    manifest = taken_apart(pack)["manifest.json"]
    assert (entry.subject_id, entry.data) == (
        case.pk,
        {"manifest": sha256(manifest).hexdigest(), "corrections": 9},
    )
    assert entry.actor_label == "test-auditor"


def test_without_anything_from_outside_it_says_what_is_not_proved(made: tuple[Path, Signing, Case]) -> None:
    answer = check(made[0])
    assert answer.returncode == 0
    assert answer.stdout.count("Not proved:") == 2


def test_a_key_that_did_not_sign_is_refused(made: tuple[Path, Signing, Case]) -> None:
    answer = check(made[0], "--key", "ab" * 32)
    assert answer.returncode == 1
    assert "no checkpoint is signed by a key that you trust" in answer.stdout


def test_what_is_not_sealed_and_signed_yet_is_incomplete(
    made: tuple[Path, Signing, Case], users: UserFactory, tmp_path: Path
) -> None:
    case = Case.objects.get()
    answer = check(pack_of(case, tmp_path / "later.zip", users("auditor")))
    assert answer.returncode == 3  # the first export's own entry waits for its seal
    assert "case.exported" in answer.stdout
    assert "CHANGED" not in answer.stdout


def changed(
    name: str, edit: Callable[[dict[str, Any]], Any], *, where: Callable[[dict[str, Any]], bool]
) -> Change:
    def change(found: list[dict[str, Any]]) -> None:
        edit(next(row for row in found if where(row)))

    return edited(name, change)


def first(row: dict[str, Any]) -> bool:
    return True


def exchanged(found: list[dict[str, Any]]) -> None:
    found[0], found[1] = found[1], found[0]


def cut(found: list[dict[str, Any]]) -> None:
    del found[5:]


def replaced(field: str, old: str, new: str) -> Callable[[dict[str, Any]], None]:
    return lambda row: row.update({field: row[field].replace(old, new)})


def other_trail(members: dict[str, bytes]) -> None:
    manifest = json.loads(members["manifest.json"]) | {"trail": "0f8fad5b-d9cb-469f-a165-70867728950e"}
    members["manifest.json"] = json.dumps(manifest).encode()


def more(text: str) -> str:
    amounts = json.loads(text)
    return json.dumps(amounts | {"total": amounts["total"] + 1})


TAMPERED: dict[str, tuple[Change, str]] = {
    "an amount after": (
        changed("corrections.ndjson", lambda row: row["after"].update(amounts_text=more(row["after"]["amounts_text"])), where=first),
        "corrections.ndjson line 1 (transaction shop/o-0): before, after or facts",
    ),
    "an amount before": (
        changed("corrections.ndjson", lambda row: row["before"].update(amounts_text=more(row["before"]["amounts_text"])), where=first),
        "corrections.ndjson line 1 (transaction shop/o-0): before, after or facts",
    ),
    "a fact": (
        changed("corrections.ndjson", lambda row: row["transaction"].update(store="s-2"), where=first),
        "corrections.ndjson line 1 (transaction shop/o-0): its facts",
    ),
    "a time": (
        changed("corrections.ndjson", lambda row: row["before"].update(calculated_at_us=1), where=first),
        "corrections.ndjson line 1 (transaction shop/o-0): before, after or facts",
    ),
    "a conflict told as applied": (
        changed("corrections.ndjson", lambda row: row.update(fate="applied"), where=lambda row: row["fate"] == "conflict"),
        "it tells of 4 applied and 1 conflicts, the rows of 5 and 0",
    ),
    "a row told as left": (
        changed("corrections.ndjson", lambda row: row.update(fate="left"), where=first),
        "corrections.ndjson line 1 (transaction shop/o-0): it is told as “left”",
    ),
    "a row deleted": (edited("corrections.ndjson", lambda found: found.pop(1)), "leaf 1 of chunk"),
    "a row doubled": (edited("corrections.ndjson", lambda found: found.insert(1, found[0])), "leaf 1 of chunk"),
    "rows exchanged": (edited("corrections.ndjson", exchanged), "leaf 0 of chunk"),
    "the last chunk cut off": (edited("corrections.ndjson", cut), "its 4 corrections are missing"),
    "an entry's reason": (
        changed("entries.ndjson", lambda row: row.update(reason="Because."), where=lambda row: row["event"] == "plan.approved"),
        "it is not the entry that was sealed",
    ),
    "an entry's actor": (
        changed("entries.ndjson", lambda row: row.update(actor="1"), where=lambda row: row["event"] == "plan.approved"),
        "it is not the entry that was sealed",
    ),
    "a seal deleted": (edited("seals.ndjson", lambda found: found.pop(3)), "seals.ndjson line 4"),
    "seals exchanged": (edited("seals.ndjson", exchanged), "seals.ndjson line 1"),
    "the tail of the seals cut off": (edited("seals.ndjson", lambda found: found.pop()), "seals.ndjson: it ends at seal"),
    "a checkpoint's chain": (
        changed("checkpoints.ndjson", replaced("text", "sequence: ", "sequence: 1"), where=lambda row: row["number"] == 2),
        "checkpoints.ndjson line 2 (checkpoint 2): its signature",
    ),
    "a checkpoint replayed": (edited("checkpoints.ndjson", lambda found: found.append(found[0])), "checkpoints.ndjson line 3"),
    "a plan's manifest": (
        changed("plans.ndjson", replaced("manifest_text", '"proposed": 5', '"proposed": 6'), where=first),
        "its manifest does not have the digest",
    ),
    "an approval on another digest": (
        changed("approvals.ndjson", lambda row: row.update(digest="00" * 32), where=first),
        "approvals.ndjson line 1",
    ),
    "an approval by the requester": (
        changed("approvals.ndjson", lambda row: row.update(decided_by=0), where=first),
        "no audit entry tells of it",
    ),
    "the approvals": (edited("approvals.ndjson", lambda found: found.clear()), "nobody approved it"),
    "a chunk's root": (
        changed("chunks.ndjson", lambda row: row.update(root="00" * 32), where=first),
        "its leaves do not have its root",
    ),
    "a chunk dropped": (edited("chunks.ndjson", lambda found: found.pop()), "corrections"),
    "a line that is no JSON": (lambda members: members.update({"plans.ndjson": b"{nothing\n"}), "not as the format says"),
    "another trail": (
        other_trail,
        "another trail's",
    ),
    "a member more": (lambda members: members.update({"../../etc/passwd": b"x"}), "../../etc/passwd: the pack's format has no such member"),
    "a member less": (lambda members: members.__delitem__("jobs.ndjson"), "jobs.ndjson: it is missing"),
}  # fmt: skip


def test_each_change_is_found_and_its_place_named_though_the_manifest_was_made_to_fit(
    made: tuple[Path, Signing, Case], tmp_path: Path
) -> None:
    pack, signing, _ = made
    passed = []
    for number, (what, (change, place)) in enumerate(TAMPERED.items()):
        members = taken_apart(pack)
        before = dict(members)
        change(members)
        assert members != before, what
        answer = check(put_together(members, tmp_path / f"{number}.zip"), "--key", signing.public)
        if answer.returncode != 1 or place not in answer.stdout:
            passed.append(f"{what}: {answer.returncode}\n{answer.stdout}{answer.stderr}")
    assert not passed, "\n".join(passed)


def test_a_flipped_bit_anywhere_is_found(made: tuple[Path, Signing, Case], tmp_path: Path) -> None:
    octets = made[0].read_bytes()
    for place in range(0, len(octets), max(len(octets) // 40, 1)):
        flipped = bytearray(octets)
        flipped[place] ^= 0x10
        (tmp_path / "flipped.zip").write_bytes(flipped)
        answer = check(tmp_path / "flipped.zip")
        if bytes(flipped) != octets and answer.returncode == 0:
            assert taken_apart(tmp_path / "flipped.zip") == taken_apart(
                made[0]
            )  # a bit of the ZIP's own that says nothing
        assert "Traceback" not in answer.stderr


def test_a_trail_made_anew_is_found_by_a_checkpoint_that_was_kept(
    made: tuple[Path, Signing, Case], tmp_path: Path
) -> None:
    pack, signing, _ = made
    other = tmp_path / "other.txt"
    text = signing.last.read_text(encoding="ascii")
    chain = next(line for line in text.splitlines() if line.startswith("chain: "))
    other.write_text(text.replace(chain, "chain: " + "ab" * 32), encoding="ascii")
    answer = check(pack, "--checkpoint", str(other))
    assert answer.returncode == 1
    assert "yours says otherwise" in answer.stdout
    assert "the trail was made anew" in answer.stdout


@pytest.mark.parametrize("octets", [b"", b"PK\3\4nothing", b"\0" * 4096])
def test_what_is_no_pack_is_no_crash(tmp_path: Path, octets: bytes) -> None:
    (tmp_path / "no.zip").write_bytes(octets)
    answer = check(tmp_path / "no.zip")
    assert answer.returncode == 2
    assert "cannot be used" in answer.stderr
    assert "Traceback" not in answer.stderr


def test_a_member_that_unpacks_to_a_line_without_end_is_no_crash(
    made: tuple[Path, Signing, Case], tmp_path: Path
) -> None:
    members = taken_apart(made[0])
    members["outcomes.ndjson"] = b" " * (LONGEST_LINE + 10)
    members["plans.ndjson"] = b" " * (LONGEST_LINE + 10)
    answer = check(put_together(members, tmp_path / "long.zip"))
    assert answer.returncode == 1
    assert "is longer than" in answer.stdout


def test_a_member_twice_is_named(made: tuple[Path, Signing, Case], tmp_path: Path) -> None:
    shutil.copy(made[0], tmp_path / "twice.zip")
    with (
        zipfile.ZipFile(tmp_path / "twice.zip", "a") as archive,
        pytest.warns(UserWarning, match="Duplicate"),
    ):
        archive.writestr("plans.ndjson", b"")
    answer = check(tmp_path / "twice.zip")
    assert answer.returncode == 1
    assert "plans.ndjson: it is in the pack more than once" in answer.stdout


def test_it_runs_on_the_oldest_python_that_it_promises(made: tuple[Path, Signing, Case]) -> None:
    oldest = shutil.which("python3.9")
    if oldest is None or subprocess.run([oldest, "--version"], capture_output=True, check=False).returncode:
        pytest.skip("There is no Python 3.9 here.")
    verifier = Path(__file__).parents[2] / "remediation/evidence/verify.py"
    done = subprocess.run(
        [oldest, "-I", str(verifier), str(made[0])], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr


def test_only_who_may_take_the_trail_along_gets_one(
    made: tuple[Path, Signing, Case], users: UserFactory, tmp_path: Path
) -> None:
    with pytest.raises(NotPermitted):
        pack_of(made[2], tmp_path / "no.zip", users("support"))


def test_an_auditor_takes_it_from_the_cases_page(
    made: tuple[Path, Signing, Case], client: Client, users: UserFactory, tmp_path: Path
) -> None:
    _, _, case = made
    client.force_login(users("auditor"))
    assert (
        "Take the evidence pack"
        in client.get(reverse("admin:remediation_case_change", args=[case.pk])).content.decode()
    )
    answer = client.post(reverse("admin:remediation_case_evidence", args=[case.pk]))
    assert answer["content-disposition"].startswith(f'attachment; filename="amends-case-{case.pk}-')
    (tmp_path / "page.zip").write_bytes(b"".join(answer))
    assert check(tmp_path / "page.zip").returncode == 3
    client.force_login(users("support"))
    assert (
        "Take the evidence pack"
        not in client.get(reverse("admin:remediation_case_change", args=[case.pk])).content.decode()
    )
    client.post(reverse("admin:remediation_case_evidence", args=[case.pk]))
    assert AuditEntry.objects.filter(event="case.exported").count() == 2


# RFC 8032, section 7.1: secret key, public key, message, signature.
VECTORS = [
    ("d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a", "",
     "e5564300c360ac729086e2cc806e828a84877f1eb8e5d974d873e065224901555fb8821590a33bacc61e39701cf9b46bd25bf5f0595bbe24655141438e7a100b"),
    ("3d4017c3e843895a92b70aa74d1b7ebc9c982ccf2ec4968cc0cd55f12af4660c", "72",
     "92a009a9f0d4cab8720e820b5f642540a2b27b5416503f8fb3762223ebdb69da085ac1e43e15996e458f3613d0f11d8c387b2eaeb4302aeeb00d291612bb0c00"),
    ("fc51cd8e6218a1a38da47ed00230f0580816ed13ba3303ac5deb911548908025", "af82",
     "6291d657deec24024827e69c3abe01a30ce548a284743a445e3680d7db5ac3ac18ff9b538d16f290ae67f760984dc6594a7c15e9716ed28dc027beceea1ec40a"),
]  # fmt: skip


@pytest.mark.parametrize(("public", "message", "signature"), VECTORS)
def test_signatures_of_rfc_8032_hold(public: str, message: str, signature: str) -> None:
    key, told, signed = (bytes.fromhex(text) for text in (public, message, signature))
    assert signature_holds(key, told, signed)
    assert not signature_holds(key, told + b"x", signed)
    assert not signature_holds(key, told, signed[:-1] + bytes([signed[-1] ^ 1]))


@settings(max_examples=15, deadline=None)
@given(seed=st.binary(min_size=32, max_size=32), message=st.binary(max_size=200), place=st.integers(0, 511))
def test_it_agrees_with_a_library_about_signatures(seed: bytes, message: bytes, place: int) -> None:
    key = Ed25519PrivateKey.from_private_bytes(seed)
    public, signature = key.public_key().public_bytes_raw(), key.sign(message)
    assert signature_holds(public, message, signature)
    flipped = bytearray(signature)
    flipped[place // 8] ^= 1 << place % 8
    assert not signature_holds(public, message, bytes(flipped))
