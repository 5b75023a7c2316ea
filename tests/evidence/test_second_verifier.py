"""Two verifiers that share no code, one of them written from docs/audit-format.md alone, say the same of every pack."""

import base64
import json
from collections.abc import Callable
from hashlib import sha256
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from remediation.models import Case
from tests.conftest import UserFactory
from tests.evidence.packing import (
    Change,
    Members,
    Signing,
    check,
    edited,
    pack_of,
    put_together,
    rows,
    set_rows,
    taken_apart,
)
from tests.evidence.second_reading import chained, entry_hash, leaf_of, merkle
from tests.evidence.second_verifier import verdict
from tests.evidence.test_pack import TAMPERED, changed, first, made, more

__all__ = ["made"]
Made = tuple[Path, Signing, Case]
ANSWERS = {0: "ok", 1: "tampered", 2: "tampered", 3: "incomplete"}


def both(pack: Path, signing: Signing | None = None, checkpoint: Path | None = None) -> tuple[str, str, str]:
    """What each says, and why."""
    arguments = ["--key", signing.public] if signing else []
    arguments += ["--checkpoint", str(checkpoint)] if checkpoint else []
    one = check(pack, *arguments)
    keys = [bytes.fromhex(signing.public)] if signing else []
    other = verdict(pack, keys=keys, checkpoints=[checkpoint.read_bytes().decode()] if checkpoint else [])
    return ANSWERS[one.returncode], other.answer, f"{one.stdout}{one.stderr}{other.places}"


def forge(members: Members, *, sign: bool) -> None:
    """Entries, chain and (where `sign`) checkpoints made anew to fit, with another key, as the database's owner could."""
    hashes = {row["id"]: entry_hash(row) for row in rows(members, "entries.ndjson")}
    chain = json.loads(members["case.json"])["chain_before"]["chain"]
    chains, seals = {0: chain}, rows(members, "seals.ndjson")
    for seal in seals:
        seal["entry_hash"] = hashes.get(str(seal["entry"]), seal["entry_hash"])
        chain = seal["chain"] = chains[seal["sequence"]] = chained(chain, seal)
    set_rows(members, "seals.ndjson", seals)
    if sign:
        signed_anew(members, chains)


def signed_anew(members: Members, chains: dict[int, str]) -> None:
    key, previous, found = Ed25519PrivateKey.generate(), "0" * 64, rows(members, "checkpoints.ndjson")
    public = key.public_key().public_bytes_raw()
    name = sha256(public).hexdigest()[:16]
    for row in found:
        told = dict(line.split(": ", 1) for line in row["text"].splitlines()[1:-1])
        told |= {"chain": chains[int(told["sequence"])], "previous": previous, "key": name}
        text = "amends-checkpoint/1\n" + "".join(f"{field}: {value}\n" for field, value in told.items())
        row["text"] = text + f"signature: {base64.b64encode(key.sign(text.encode())).decode()}\n"
        previous = sha256(row["text"].encode()).hexdigest()
    set_rows(members, "checkpoints.ndjson", found)
    set_rows(members, "keys.ndjson", [{"key": name, "public_key": public.hex()}])


another_reason = changed(
    "entries.ndjson",
    lambda row: row.update(reason="Because."),
    where=lambda row: row["event"] == "plan.approved",
)


def rechained(members: Members) -> None:
    another_reason(members)
    forge(members, sign=False)


def resigned(members: Members) -> None:
    another_reason(members)
    forge(members, sign=True)


def leaves_made_to_fit(members: Members) -> None:
    found, chunks = rows(members, "corrections.ndjson"), rows(members, "chunks.ndjson")
    found[0]["after"]["amounts_text"] = more(found[0]["after"]["amounts_text"])
    found[0]["leaf_hash"] = leaf_of(found[0], 2)
    leaves = [bytes.fromhex(row["leaf_hash"]) for row in found if row["chunk"] == found[0]["chunk"]]
    for chunk in chunks:
        if chunk["id"] == found[0]["chunk"]:
            chunk.update(root=merkle(leaves).hex(), leaves_digest=sha256(b"".join(leaves)).hexdigest())
    set_rows(members, "corrections.ndjson", found)
    set_rows(members, "chunks.ndjson", chunks)


def octets(name: str, old: bytes, new: bytes) -> Change:
    """The first `old` of a member becomes `new`, octet by octet."""

    def change(members: Members) -> None:
        members[name] = members[name].replace(old, new, 1)

    return change


def emptied_to(name: str, rest: bytes) -> Change:
    return lambda members: members.update({name: rest})


def emptied(name: str) -> Change:
    return emptied_to(name, b"")


def checkpoint_text(edit: Callable[[str], str]) -> Change:
    return edited("checkpoints.ndjson", lambda found: found[-1].update(text=edit(found[-1]["text"])))


def put(name: str, **values: Any) -> Change:
    return changed(name, lambda row: row.update(values), where=first)


def decomposed(members: Members) -> None:
    put("entries.ndjson", reason="Cafe\u0301")(members)


OURS: dict[str, tuple[Change, str]] = {
    "re-chained, its checkpoints left": (rechained, "tampered"),
    "re-chained and signed with another key": (resigned, "tampered"),
    "leaf, root and digest made to fit": (leaves_made_to_fit, "tampered"),
    "a checkpoint replayed in another's place": (
        edited("checkpoints.ndjson", lambda found: found[1].update(text=found[0]["text"])), "tampered"),
    "the last checkpoint taken away": (edited("checkpoints.ndjson", lambda found: found.pop()), "incomplete"),
    "the first checkpoint taken away": (edited("checkpoints.ndjson", lambda found: found.pop(0)), "ok"),
    "a key twice in an object": (octets("corrections.ndjson", b'"leaf":0', b'"leaf":7,"leaf":0'), "tampered"),
    "a key twice in the manifest": (octets("plans.ndjson", b'"id":1', b'"id":9,"id":1'), "tampered"),
    "a number as a text": (octets("corrections.ndjson", b'"leaf":0', b'"leaf":"0"'), "tampered"),
    "a text as a number": (octets("entries.ndjson", b'"subject_id":"1"', b'"subject_id":1'), "tampered"),
    "a hashed number as a text": (octets("corrections.ndjson", b'"scale":2', b'"scale":"2"'), "tampered"),
    "a seal's number as a text": (octets("seals.ndjson", b'"sequence":1,', b'"sequence":"1",'), "tampered"),
    "minus nothing": (octets("corrections.ndjson", b'"leaf":0', b'"leaf":-0'), "tampered"),
    "an exponent": (octets("corrections.ndjson", b'"scale":2', b'"scale":2e0'), "tampered"),
    "a fraction": (octets("corrections.ndjson", b'"scale":2', b'"scale":2.0'), "tampered"),
    "true for one": (octets("approvals.ndjson", b'"plan":1', b'"plan":true'), "tampered"),
    "an exponent in amounts": (octets("corrections.ndjson", b": 1020}", b": 102e1}"), "tampered"),
    "a space less in amounts": (octets("corrections.ndjson", b": 1020}", b":1020}"), "tampered"),
    "another unicode form": (decomposed, "tampered"),
    "a lone surrogate": (octets("outcomes.ndjson", b"Its service", b"\\ud800"), "ok"),
    "octets that are no UTF-8": (octets("outcomes.ndjson", b"Its service", b"\xff"), "tampered"),
    "a hash in upper case": (edited("seals.ndjson", lambda found: found[0].update(chain=found[0]["chain"].upper())), "tampered"),
    "a space at a checkpoint line's end": (checkpoint_text(lambda text: text.replace("\nkey", " \nkey")), "tampered"),
    "a checkpoint with CRLF": (checkpoint_text(lambda text: text.replace("\n", "\r\n")), "tampered"),
    "a checkpoint without its last line feed": (checkpoint_text(lambda text: text[:-1]), "tampered"),
    "a checkpoint with a line more": (checkpoint_text(lambda text: text + "\n"), "tampered"),
    "base64 that was padded otherwise": (checkpoint_text(lambda text: text.replace("==\n", "=\n")), "tampered"),
    "lines ended by CRLF": (lambda members: members.update({"seals.ndjson": members["seals.ndjson"].replace(b"\n", b"\r\n")}), "ok"),
    "a line that is empty": (octets("seals.ndjson", b"\n", b"\n\n"), "tampered"),
    "a last line not ended": (lambda members: members.update({"seals.ndjson": members["seals.ndjson"][:-1]}), "tampered"),
    "a byte order mark": (lambda members: members.update({"seals.ndjson": b"\xef\xbb\xbf" + members["seals.ndjson"]}), "tampered"),
    "an entry twice": (edited("entries.ndjson", lambda found: found.append(found[0])), "tampered"),
    "a plan twice": (edited("plans.ndjson", lambda found: found.append(found[0])), "tampered"),
    "a chunk of no plan": (edited("chunks.ndjson", lambda found: found.append({**found[0], "id": 99, "plan": 99})), "tampered"),
    "a plan with its chunks, rows and approvals gone": (put("plans.ndjson", manifest_text=None, digest=None), "tampered"),
    "a fate that there is not": (put("corrections.ndjson", fate="APPLIED"), "tampered"),
    "an approval by who edited the case": (put("approvals.ndjson", decided_by=1), "tampered"),
    "an approval told as rejected": (put("approvals.ndjson", decision="reject"), "tampered"),
    "who requested": (put("plans.ndjson", requested_by=7), "tampered"),
    "the key named otherwise": (put("keys.ndjson", key="0" * 16), "tampered"),
    "the entries that tell of rows": (
        edited("entries.ndjson", lambda found: found.__setitem__(slice(None), [r for r in found if r["event"] != "chunk.applied"])),
        "tampered"),
    **{f"{name} empty": (emptied(f"{name}.ndjson"), "tampered") for name in
       ("plans", "chunks", "approvals", "corrections", "entries", "seals", "keys")},
    **{f"{name} empty": (emptied(f"{name}.ndjson"), "ok") for name in ("releases", "jobs", "outcomes")},
    "jobs that are no JSON": (emptied_to("jobs.ndjson", b"{nothing\n"), "tampered"),
    "outcomes that are a list": (emptied_to("outcomes.ndjson", b"[]\n"), "tampered"),
    "a lone surrogate in what is hashed": (octets("entries.ndjson", b'"reason":"Fees', b'"reason":"\\ud800Fees'), "tampered"),
    "a release, which no seal holds": (put("releases.ndjson", version="9.9.9"), "ok"),
    "an entry that no rule asks for": (
        edited("entries.ndjson", lambda found: found.remove(next(r for r in found if r["event"] == "case.verified"))), "ok"),
    "case.json empty": (emptied("case.json"), "tampered"),
}  # fmt: skip


def test_they_agree_on_what_nobody_touched(made: Made, users: UserFactory, tmp_path: Path) -> None:
    pack, signing, case = made
    assert both(pack, signing, signing.last)[:2] == ("ok", "ok")
    assert both(pack)[:2] == ("ok", "ok")
    assert both(pack_of(case, tmp_path / "later.zip", users("auditor")))[:2] == ("incomplete", "incomplete")


def test_they_agree_on_every_change(made: Made, tmp_path: Path) -> None:
    pack, signing, _ = made
    expected = {**{what: (change, "tampered") for what, (change, _) in TAMPERED.items()}, **OURS}
    wrong = []
    for number, (what, (change, answer)) in enumerate(expected.items()):
        members = taken_apart(pack)
        before = dict(members)
        change(members)
        assert members != before, what
        one, other, why = both(put_together(members, tmp_path / f"{number}.zip"), signing)
        if (one, other) != (answer, answer):
            wrong.append(f"{what}: verify.py {one}, the second {other}, the page {answer}\n{why}")
    assert not wrong, "\n".join(wrong)


def test_they_agree_that_a_trail_made_anew_takes_a_key_or_a_checkpoint_from_outside(
    made: Made, tmp_path: Path
) -> None:
    pack, signing, _ = made
    members = taken_apart(pack)
    resigned(members)
    forged = put_together(members, tmp_path / "forged.zip")
    assert both(forged)[:2] == ("ok", "ok")
    assert both(forged, signing)[:2] == ("tampered", "tampered")
    assert both(forged, None, signing.last)[:2] == ("tampered", "tampered")


def test_they_agree_on_a_checkpoint_from_outside_that_differs(made: Made, tmp_path: Path) -> None:
    pack, signing, _ = made
    other, text = tmp_path / "other.txt", signing.last.read_text(encoding="ascii")
    chain = next(line for line in text.splitlines() if line.startswith("chain: "))
    other.write_text(text.replace(chain, "chain: " + "ab" * 32), encoding="ascii")
    assert both(pack, None, other)[:2] == ("tampered", "tampered")
