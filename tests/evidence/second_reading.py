"""How the second verifier reads an evidence pack and hashes what is in it, from docs/audit-format.md alone.

Every member's shape is checked against a declared table, so that the rules of `second_verifier` may rely on it.
"""

import base64
import json
import re
import zipfile
from collections.abc import Sequence
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path
from typing import Any, NamedTuple

Row = dict[str, Any]
Group = dict[int, list[Row]]


class Unreadable(Exception):
    """A member is not as the page says, so that no rule can be asked about it."""


class Checkpoint(NamedTuple):
    trail: str
    number: int
    sequence: int
    chain: str
    previous: str
    key: str
    new_key: str | None
    signed: bytes
    signature: bytes
    text: str


@dataclass
class Pack:
    manifest: Row
    case: Row
    tables: dict[str, list[Row]]
    checkpoints: list[Checkpoint]
    keys: Sequence[bytes]
    outside: list[Checkpoint]
    chains: dict[int, str] = field(default_factory=dict)

    def of(self, table: str) -> list[Row]:
        return self.tables[table]

    def by(self, table: str, name: str) -> Group:
        found: Group = {}
        for row in self.of(table):
            found.setdefault(row[name], []).append(row)
        return found

    def told(self, event: str, plan: int) -> list[Row]:
        """The entries of this event about this plan."""
        about = {"event": event, "subject_type": "remediation.plan", "subject_id": str(plan)}
        return [row for row in self.of("entries") if about.items() <= row.items()]


# Hashing


def netstrings(*values: object) -> bytes:
    octets = [str(value).encode() for value in values]
    return b"".join(b"%d:%b," % (len(each), each) for each in octets)


def hashed(*values: object) -> str:
    return sha256(netstrings(*values)).hexdigest()


def merkle(leaves: Sequence[bytes]) -> bytes:
    if len(leaves) < 2:
        return leaves[0] if leaves else sha256().digest()
    split = 1 << (len(leaves) - 1).bit_length() - 1
    return sha256(b"\1" + merkle(leaves[:split]) + merkle(leaves[split:])).digest()


def int8(number: int) -> bytes:
    return number.to_bytes(8, "big", signed=True)


def leaf_of(row: Row, leaf_format: int) -> str:
    transaction, sides = row["transaction"], [row["after"], row["before"]]
    if leaf_format == 1:
        parts: list[object] = ["leaf/1"]
        for side in sides:
            parts += [
                side["id"],
                transaction["id"],
                side["release"],
                side["calculated_at_us"],
                side["amounts_text"],
            ]
        return hashed(*parts, transaction["facts_hash"])
    octets = b"\0leaf/2"
    for side in sides:
        since_2000 = side["calculated_at_us"] - 946_684_800_000_000
        octets += b"".join(map(int8, (side["id"], transaction["id"], side["release"], since_2000)))
    amounts = [side["amounts_text"].encode() for side in sides]
    lengths = b"".join(len(each).to_bytes(4, "big") for each in amounts)
    return sha256(octets + bytes.fromhex(transaction["facts_hash"]) + lengths + b"".join(amounts)).hexdigest()


def entry_hash(row: Row) -> str:
    names = "id event actor actor_label subject_type subject_id subject_label reason request_id data occurred_at_us"
    return hashed("entry/1", *(row[name] for name in names.split()))


def chained(before: str, seal: Row) -> str:
    return hashed("seal/1", seal["sequence"], before, seal["entry_hash"], seal["sealed_at_us"])


# Shapes: `#` a whole number, `t` a text, `h` a hash, `k` a public key's name, `d` a number as text, `?` before it: or null.

SHAPES = {
    "releases": "id# servicet calculatort versiont",
    "plans": "id# kindt statust source_plan?# requested_by# requestert requested_att reasont manifest_text?t digest?h",
    "chunks": "id# plan# position# scanned# unchanged# proposed# failed# moved_since# money_text?t root?h leaves_digest?h leaf_format?#",
    "approvals": "plan# decisiont digesth decided_by# decidert decided_att commentt",
    "jobs": "id# plan?# kindt statust requested_by# requestert requested_att finished_at?t",
    "corrections": "plan# chunk# leaf# leaf_hashh fatet",
    "outcomes": "job# plan_chunk?# transaction# kindt reasont",
    "entries": "idd eventt actort actor_labelt subject_typet subject_idt subject_labelt reasont request_idt datat occurred_at_usd",
    "seals": "sequence# entry# entry_hashh chainh sealed_at_us#",
    "checkpoints": "number# textt",
    "keys": "keyk public_keyh",
}
CORRECTED = {
    "transaction": "id# sourcet referencet storet currencyt scale# occurred_at_us# inputs_textt facts_hashh",
    "before": "id# release# calculated_at_us# amounts_textt",
    "after": "id# release# calculated_at_us# amounts_textt",
}
FOR_PEOPLE = {"summary.html", "README.txt", "verify.py"}
MEMBERS = {"manifest.json", "case.json", *FOR_PEOPLE, *(f"{name}.ndjson" for name in SHAPES)}
TEXTS = {"t": r"(?s).*", "h": r"[0-9a-f]{64}", "k": r"[0-9a-f]{16}", "d": r"0|-?[1-9][0-9]*"}


def once(pairs: list[tuple[str, Any]]) -> Row:
    if len(dict(pairs)) != len(pairs):
        raise ValueError("a key stands in it twice")
    return dict(pairs)


def whole(digits: str) -> int:
    if digits == "-0":
        raise ValueError("-0 is no whole number in decimal")
    return int(digits)


def parsed(text: bytes | str, place: str) -> Row:
    try:
        told = text if isinstance(text, str) else text.decode()
        told.encode()
        found = json.loads(told, object_pairs_hook=once, parse_int=whole, parse_constant=whole)
    except (ValueError, RecursionError) as wrong:
        raise Unreadable(f"{place}: {wrong}") from wrong
    if not isinstance(found, dict):
        raise Unreadable(f"{place}: it is no object")
    return found


def shaped(row: object, shape: str, place: str) -> None:
    if not isinstance(row, dict):
        raise Unreadable(f"{place}: it is no object")
    for told in shape.split():
        name, kind = told[:-1].removesuffix("?"), told[-1]
        value = row.get(name, ...)
        if value is None and told[-2] == "?":
            continue
        good = (
            type(value) is int if kind == "#" else isinstance(value, str) and re.fullmatch(TEXTS[kind], value)
        )
        if not good:
            raise Unreadable(f"{place}: `{name}` is not as the page says")


def table(name: str, octets: bytes) -> list[Row]:
    lines = octets.split(b"\n")
    if lines.pop():
        raise Unreadable(f"{name}.ndjson: its last line is not ended")
    found = [parsed(line, f"{name}.ndjson line {number}") for number, line in enumerate(lines, 1)]
    for number, row in enumerate(found, 1):
        shaped(row, SHAPES[name], f"{name}.ndjson line {number}")
        for part, shape in CORRECTED.items() if name == "corrections" else ():
            shaped(row.get(part), shape, f"{name}.ndjson line {number}, {part}")
    return found


CHECKPOINT = re.compile(
    r"(?P<signed>amends-checkpoint/1\ntrail: (?P<trail>[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12})\nnumber: (?P<number>[1-9][0-9]*)\n"
    r"sequence: (?P<sequence>0|[1-9][0-9]*)\nchain: (?P<chain>[0-9a-f]{64})\nsigned-at: \d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z\n"
    r"previous: (?P<previous>[0-9a-f]{64})\nkey: (?P<key>[0-9a-f]{16})\n(?:new-key: (?P<new_key>[0-9a-f]{64})\n)?)"
    r"signature: (?P<signature>[A-Za-z0-9+/]{86}==)\n",
    re.ASCII,
)


def checkpoint(text: str, place: str) -> Checkpoint:
    found = CHECKPOINT.fullmatch(text)
    if found is None:
        raise Unreadable(f"{place}: it is no checkpoint")
    signature = base64.b64decode(found["signature"], validate=True)
    if base64.b64encode(signature).decode() != found["signature"]:
        raise Unreadable(f"{place}: its signature is not the base64 of 64 octets")
    names = ("chain", "previous", "key", "new_key")
    number, sequence = int(found["number"]), int(found["sequence"])
    return Checkpoint(
        found["trail"],
        number,
        sequence,
        *(found[name] for name in names),
        found["signed"].encode(),
        signature,
        text,
    )


def loaded(path: Path, keys: Sequence[bytes], outside: Sequence[str]) -> Pack:
    with zipfile.ZipFile(path) as archive:
        names = archive.namelist()
        for name in sorted({*MEMBERS, *names}):
            if names.count(name) != (name in MEMBERS):
                raise Unreadable(f"{name}: it is in the pack {names.count(name)} times")
        members = {name: archive.read(name) for name in names}
    manifest, case = (parsed(members[name], name) for name in ("manifest.json", "case.json"))
    if manifest.get("format") != "amends-evidence/1":
        raise Unreadable("manifest.json: the format is another")
    shaped(manifest, "trailt case#", "manifest.json")
    files = {
        n: {"bytes": len(o), "sha256": sha256(o).hexdigest()}
        for n, o in members.items()
        if n != "manifest.json"
    }
    if manifest.get("files") != files:
        raise Unreadable("manifest.json: sizes and hashes are not those of the members")
    shaped(case, "sealed_through#", "case.json")
    shaped(case.get("chain_before"), "sequence# chainh", "case.json, chain_before")
    if not isinstance(case.get("revisions"), list):
        raise Unreadable("case.json: it has no revisions")
    for revision in case["revisions"]:
        shaped(revision, "number# edited_by# editort edited_att target_versiont", "case.json, revisions")
    tables = {name: table(name, members[f"{name}.ndjson"]) for name in SHAPES}
    texts = [(f"checkpoint {row['number']}", row["text"]) for row in tables["checkpoints"]]
    inside = [checkpoint(text, place) for place, text in texts]
    return Pack(manifest, case, tables, inside, keys, [checkpoint(text, "yours") for text in outside])
