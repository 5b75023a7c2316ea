#!/usr/bin/env python3
"""Check an Amends evidence pack: python3 verify.py PACK.zip [--checkpoint FILE]... [--key PUBLIC_KEY]...

One file, Python 3.9 or newer, nothing to install, and nothing of Amends. What it checks, and how everything is hashed, is written down in
docs/audit-format.md of Amends. --checkpoint is a checkpoint that you kept, --key a public key (64 hexadecimal digits) that you were given
by another way: without them the pack is only held against itself.

Exit code 0: everything agrees; 1: something was changed; 2: the call or the file cannot be used; 3: nothing was changed, but something
is missing.
"""

from __future__ import annotations

import argparse
import base64
import hashlib
import json
import re
import sys
import zipfile
import zlib
from collections.abc import Iterable, Iterator
from fractions import Fraction
from typing import Any, NamedTuple

FORMAT = "amends-evidence/1"
MEMBERS = {
    "manifest.json", "case.json", "releases.ndjson", "plans.ndjson", "chunks.ndjson", "approvals.ndjson", "jobs.ndjson",
    "corrections.ndjson", "outcomes.ndjson", "entries.ndjson", "seals.ndjson", "checkpoints.ndjson", "keys.ndjson",
    "summary.html", "README.txt", "verify.py",
}  # fmt: skip
LONGEST_LINE = 64 * 1024 * 1024
MOST_TOLD = 200
ENTRY_FIELDS = (
    "id", "event", "actor", "actor_label", "subject_type", "subject_id", "subject_label", "reason", "request_id", "data",
    "occurred_at_us",
)  # fmt: skip
CHECKPOINT = re.compile(
    r"amends-checkpoint/1\ntrail: (?P<trail>[0-9a-f-]{36})\nnumber: (?P<number>[1-9][0-9]{0,17})\n"
    r"sequence: (?P<sequence>0|[1-9][0-9]{0,17})\nchain: (?P<chain>[0-9a-f]{64})\n"
    r"signed-at: (?P<signed_at>[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}\.[0-9]{6}Z)\n"
    r"previous: (?P<previous>[0-9a-f]{64})\nkey: (?P<key>[0-9a-f]{16})\n(?:new-key: (?P<new_key>[0-9a-f]{64})\n)?"
    r"signature: (?P<signature>[A-Za-z0-9+/]{86}==)\n"
)
POSTGRES_EPOCH_US = 946_684_800_000_000


class Unusable(Exception):
    """The file is no evidence pack, or not one that can be read."""


# --- Ed25519, RFC 8032: only the check of a signature, which needs no secret and so no care about timing.

P = 2**255 - 19
L = 2**252 + 27742317777372353535851937790883648493
D = -121665 * pow(121666, P - 2, P) % P
ROOT_OF_MINUS_ONE = pow(2, (P - 1) // 4, P)
Point = tuple[int, int, int, int]


def _add(p: Point, q: Point) -> Point:
    a, b = (p[1] - p[0]) * (q[1] - q[0]) % P, (p[1] + p[0]) * (q[1] + q[0]) % P
    c, d = 2 * p[3] * q[3] * D % P, 2 * p[2] * q[2] % P
    e, f, g, h = b - a, d - c, d + c, b + a
    return (e * f % P, g * h % P, f * g % P, e * h % P)


def _times(number: int, p: Point) -> Point:
    result: Point = (0, 1, 1, 0)
    while number:
        if number & 1:
            result = _add(result, p)
        p, number = _add(p, p), number >> 1
    return result


def _x_of(y: int, sign: int) -> int | None:
    if y >= P:
        return None
    square = (y * y - 1) * pow(D * y * y + 1, P - 2, P) % P
    if square == 0:
        return None if sign else 0
    x = pow(square, (P + 3) // 8, P)
    if (x * x - square) % P:
        x = x * ROOT_OF_MINUS_ONE % P
    if (x * x - square) % P:
        return None
    return P - x if x & 1 != sign else x


def _point(octets: bytes) -> Point | None:
    y = int.from_bytes(octets, "little")
    sign, y = y >> 255, y & (2**255 - 1)
    x = _x_of(y, sign)
    return None if x is None else (x, y, 1, x * y % P)


BASE_Y = 4 * pow(5, P - 2, P) % P
BASE_X = _x_of(BASE_Y, 0) or 0
BASE: Point = (BASE_X, BASE_Y, 1, BASE_X * BASE_Y % P)


def signature_holds(public_key: bytes, message: bytes, signature: bytes) -> bool:
    """Whether `signature` (64 bytes) is the Ed25519 signature of `message` by the holder of `public_key` (32 bytes)."""
    if len(public_key) != 32 or len(signature) != 64:
        return False
    key, r = _point(public_key), _point(signature[:32])
    s = int.from_bytes(signature[32:], "little")
    if key is None or r is None or s >= L:
        return False
    h = int.from_bytes(hashlib.sha512(signature[:32] + public_key + message).digest(), "little") % L
    left, right = _times(s, BASE), _add(r, _times(h, key))
    return (left[0] * right[2] - right[0] * left[2]) % P == 0 and (
        left[1] * right[2] - right[1] * left[2]
    ) % P == 0


# --- Hashes


def netstrings(*fields: str) -> bytes:
    return b"".join(b"%d:%b," % (len(octets), octets) for octets in (field.encode() for field in fields))


def digest(octets: bytes) -> bytes:
    return hashlib.sha256(octets).digest()


def int8(number: int) -> bytes:
    return number.to_bytes(8, "big", signed=True)


def merkle_root(leaves: list[bytes]) -> bytes:
    if not leaves:
        return digest(b"")
    level = leaves
    while len(level) > 1:
        above = [digest(b"\1" + level[i] + level[i + 1]) for i in range(0, len(level) - 1, 2)]
        level = above + ([level[-1]] if len(level) % 2 else [])
    return level[0]


def facts_hash(t: dict[str, Any]) -> bytes:
    return digest(
        netstrings(
            "facts/1", t["source"], t["reference"], t["store"], t["currency"], str(t["scale"]), str(t["occurred_at_us"]), t["inputs_text"]
        )
    )  # fmt: skip


def leaf_hash(
    leaf_format: int, transaction: int, after: dict[str, Any], before: dict[str, Any], facts: bytes
) -> bytes:
    if leaf_format == 1:
        sides = [
            (
                str(side["id"]),
                str(transaction),
                str(side["release"]),
                str(side["calculated_at_us"]),
                side["amounts_text"],
            )
            for side in (after, before)
        ]
        return digest(netstrings("leaf/1", *sides[0], *sides[1], facts.hex()))
    fixed = b"".join(
        int8(side["id"])
        + int8(transaction)
        + int8(side["release"])
        + int8(side["calculated_at_us"] - POSTGRES_EPOCH_US)
        for side in (after, before)
    )
    texts = [side["amounts_text"].encode() for side in (after, before)]
    sizes = b"".join(len(text).to_bytes(4, "big") for text in texts)
    return digest(b"\0leaf/2" + fixed + facts + sizes + b"".join(texts))


# --- The pack


class Findings:
    """What was found: changed, missing, and what could not be proved."""

    def __init__(self) -> None:
        self.tampered: list[str] = []
        self.incomplete: list[str] = []
        self.unproved: list[str] = []

    def changed(self, place: str, what: str) -> None:
        self.tampered.append(f"{place}: {what}")

    def missing(self, place: str, what: str) -> None:
        self.incomplete.append(f"{place}: {what}")


def _one_of_each(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("a key is in an object twice")
    return found


def _no_number(text: str) -> Any:
    raise ValueError(f"{text[:40]} is no whole number")


def _whole_number(text: str) -> int:
    return _no_number(text) if text == "-0" else int(text)


def strict_json(octets: bytes) -> Any:
    """JSON that reads alike for everybody: UTF-8, no key twice, and whole numbers only. Raises `ValueError`."""
    return json.loads(
        octets.decode("utf-8"),
        object_pairs_hook=_one_of_each,
        parse_float=_no_number,
        parse_int=_whole_number,
        parse_constant=_no_number,
    )


class Pack:
    """The members of a pack, read line by line: its size does not matter."""

    def __init__(self, path: str) -> None:
        try:
            self._zip = zipfile.ZipFile(path)
        except (OSError, zipfile.BadZipFile, ValueError) as error:
            raise Unusable(f"{path} is no ZIP file: {error}") from error
        self.names = [info.filename for info in self._zip.infolist()]

    def whole(self, name: str) -> Any:
        return strict_json(b"".join(line for _, line in self.lines(name)))

    def rows(self, name: str) -> Iterator[tuple[str, dict[str, Any]]]:
        for number, line in self.lines(name):
            if not line.endswith(b"\n"):
                raise ValueError(f"{name} line {number} is not ended by a line feed")
            row = strict_json(line)
            if not isinstance(row, dict):
                raise ValueError(f"{name} line {number} is no object")
            yield f"{name} line {number}", row

    def lines(self, name: str) -> Iterator[tuple[int, bytes]]:
        with self._zip.open(name) as member:
            number = 0
            while True:
                line = member.readline(LONGEST_LINE)
                if not line:
                    return
                number += 1
                if len(line) >= LONGEST_LINE:
                    raise ValueError(f"{name} line {number} is longer than {LONGEST_LINE} octets")
                yield number, line

    def size_and_hash(self, name: str) -> tuple[int, str]:
        hashed, size = hashlib.sha256(), 0
        with self._zip.open(name) as member:
            while True:
                part = member.read(1 << 20)
                if not part:
                    return size, hashed.hexdigest()
                hashed.update(part)
                size += len(part)


class Checkpoint(NamedTuple):
    text: str
    trail: str
    number: int
    sequence: int
    chain: str
    previous: str
    key: str
    new_key: str | None
    signature: bytes


def read_checkpoint(text: str) -> Checkpoint | None:
    found = CHECKPOINT.fullmatch(text)
    if found is None or base64.b64encode(base64.b64decode(found["signature"])).decode() != found["signature"]:
        return None
    return Checkpoint(
        text, found["trail"], int(found["number"]), int(found["sequence"]), found["chain"], found["previous"], found["key"],
        found["new_key"], base64.b64decode(found["signature"]),
    )  # fmt: skip


def key_name(public_key: bytes) -> str:
    return digest(public_key).hex()[:16]


NUMBER, TEXT, NOTHING = int, str, type(None)
SHAPES: dict[str, tuple[dict[str, tuple[type, ...]], tuple[str, ...]]] = {
    "releases": ({"id": (NUMBER,), "service": (TEXT,), "calculator": (TEXT,), "version": (TEXT,)}, ("id",)),
    "plans": (
        {"id": (NUMBER,), "kind": (TEXT,), "requested_by": (NUMBER,), "manifest_text": (TEXT, NOTHING), "digest": (TEXT, NOTHING)},
        ("id",),
    ),
    "chunks": (
        {"id": (NUMBER,), "plan": (NUMBER,), "position": (NUMBER,), "root": (TEXT, NOTHING), "leaf_format": (NUMBER, NOTHING)},
        ("id",),
    ),
    "approvals": ({"plan": (NUMBER,), "decision": (TEXT,), "digest": (TEXT,), "decided_by": (NUMBER,)}, ("plan", "decided_by")),
    "jobs": ({"id": (NUMBER,), "kind": (TEXT,), "status": (TEXT,)}, ("id",)),
    "outcomes": ({"job": (NUMBER,), "transaction": (NUMBER,), "kind": (TEXT,), "reason": (TEXT,)}, ()),
    "entries": (dict.fromkeys(ENTRY_FIELDS, (TEXT,)), ("id",)),
    "checkpoints": ({"number": (NUMBER,), "text": (TEXT,)}, ("number",)),
    "keys": ({"key": (TEXT,), "public_key": (TEXT,)}, ("key",)),
}  # fmt: skip
FACTS = {
    "id": int, "source": str, "reference": str, "store": str, "currency": str, "scale": int, "occurred_at_us": int, "inputs_text": str,
    "facts_hash": str,
}  # fmt: skip
COUNTS = ("scanned", "unchanged", "proposed", "failed", "moved_since")
CALCULATION = {"id": int, "release": int, "calculated_at_us": int, "amounts_text": str}


def of_their_kinds(row: dict[str, Any], kinds: dict[str, type]) -> bool:
    return all(type(row[name]) is kind for name, kind in kinds.items())


class Verifier:
    """Goes through a pack once. `outside` are checkpoints, and `trusted` public keys, that did not come with it."""

    def __init__(self, pack: Pack, outside: list[Checkpoint], trusted: list[bytes]) -> None:
        self.pack, self.outside, self.trusted = pack, outside, trusted
        self.found = Findings()
        self.counts: dict[str, int] = {}
        self.checkpoints: list[Checkpoint] = []
        self.entries: dict[int, tuple[str, dict[str, Any], bytes]] = {}
        self.plans: dict[int, tuple[str, dict[str, Any]]] = {}
        self.chunks: dict[int, tuple[str, dict[str, Any]]] = {}
        self.applied_of: dict[int, list[tuple[str, dict[str, Any]]]] = {}
        self.plans_applied: dict[int, str] = {}
        self.last_applied: dict[int, int] = {}
        self.edits: list[tuple[int, str]] = []
        self.approvers: dict[int, set[int]] = {}
        self.moved: dict[int, dict[str, int]] = {}

    def run(self) -> Findings:
        if not self._members():
            return self.found
        for part in (
            self._shapes,
            self._read_case,
            self._checkpoints,
            self._read_entries,
            self._seals,
            self._revisions,
            self._plans,
            self._approvals,
            self._corrections,
        ):
            try:
                part()
            except (KeyError, TypeError, ValueError, OverflowError, RecursionError, AttributeError) as error:
                name = part.__name__.lstrip("_")
                self.found.changed(
                    name, f"it is not as the format says ({type(error).__name__}: {str(error)[:200]})"
                )
        return self.found

    def _members(self) -> bool:
        names = self.pack.names
        for name in sorted(set(names) - MEMBERS):
            self.found.changed(name[:200], "the pack's format has no such member")
        for name in sorted({name for name in names if names.count(name) > 1}):
            self.found.changed(name[:200], "it is in the pack more than once")
        for name in sorted(MEMBERS - set(names)):
            self.found.changed(name, "it is missing")
        if self.found.tampered:
            return False
        try:
            self.manifest = self.pack.whole("manifest.json")
            files = self.manifest["files"]
            if self.manifest["format"] != FORMAT or set(files) != MEMBERS - {"manifest.json"}:
                raise ValueError("its format or its list of members is another")
            for name in sorted(files):
                if self.pack.size_and_hash(name) != (files[name]["bytes"], files[name]["sha256"]):
                    self.found.changed(name, "it is not the file that manifest.json describes")
        except (KeyError, TypeError, ValueError) as error:
            self.found.changed("manifest.json", f"it is not as the format says ({str(error)[:200]})")
            return False
        return True

    def _shapes(self) -> None:
        """Every row has its fields, each of its kind, and no row of a table is there twice."""
        for name, (fields, unique) in SHAPES.items():
            seen = set()
            try:
                for place, row in self.pack.rows(f"{name}.ndjson"):
                    for field, kinds in fields.items():
                        if type(row[field]) not in kinds:
                            self.found.changed(place, f"“{field}” is not of its kind")
                    mark = tuple(row[field] for field in unique)
                    if unique and mark in seen:
                        self.found.changed(place, f"there is a row with this {' and '.join(unique)} already")
                    seen.add(mark if unique else ())
            except (KeyError, TypeError, ValueError, RecursionError) as error:
                self.found.changed(
                    f"{name}.ndjson",
                    f"it is not as the format says ({type(error).__name__}: {str(error)[:200]})",
                )

    def _read_case(self) -> None:
        self.case = self.pack.whole("case.json")
        self.editors = {revision["edited_by"] for revision in self.case["revisions"]}
        if self.case["id"] != self.manifest["case"]:
            self.found.changed("case.json", "it is another case than manifest.json's")

    # Checkpoints, entries, seals

    def _checkpoints(self) -> None:
        self.keys = {row["key"]: bytes.fromhex(row["public_key"]) for _, row in self.pack.rows("keys.ndjson")}
        for name, public_key in self.keys.items():
            if key_name(public_key) != name:
                self.found.changed("keys.ndjson", f"the key {name} is not that public key's name")
        previous: Checkpoint | None = None
        for place, row in self.pack.rows("checkpoints.ndjson"):
            checkpoint = read_checkpoint(row["text"])
            if checkpoint is None or row["number"] != checkpoint.number:
                self.found.changed(place, "it is no checkpoint of the format")
                return
            self._check_checkpoint(f"{place} (checkpoint {checkpoint.number})", checkpoint, previous)
            self.checkpoints.append(checkpoint)
            previous = checkpoint
        self._check_outside()

    def _check_checkpoint(self, place: str, checkpoint: Checkpoint, previous: Checkpoint | None) -> None:
        if checkpoint.trail != self.manifest["trail"]:
            self.found.changed(place, "it is another trail's")
        public_key = self.keys.get(checkpoint.key, b"")
        signed = checkpoint.text[: checkpoint.text.rindex("signature: ")].encode()
        if key_name(public_key) != checkpoint.key or not signature_holds(
            public_key, signed, checkpoint.signature
        ):
            self.found.changed(place, f"its signature is not that of the key {checkpoint.key}")
        if previous is None:
            if checkpoint.number == 1 and checkpoint.previous != "0" * 64:
                self.found.changed(place, "the first checkpoint names one before it")
            return
        if checkpoint.number != previous.number + 1:
            self.found.changed(place, f"checkpoint {previous.number + 1} is missing before it")
        if checkpoint.previous != digest(previous.text.encode()).hex():
            self.found.changed(place, "it does not name the checkpoint before it")
        if checkpoint.sequence < previous.sequence:
            self.found.changed(place, "it covers less than the checkpoint before it")
        if checkpoint.sequence == previous.sequence and checkpoint.chain != previous.chain:
            self.found.changed(
                place, "it names another chain than the checkpoint before it, for the same seal"
            )
        expected = previous.key if previous.new_key is None else key_name(bytes.fromhex(previous.new_key))
        if checkpoint.key != expected:
            self.found.changed(place, f"it is signed by {checkpoint.key}, to which nobody handed over")

    def _check_outside(self) -> None:
        names = {key_name(key) for key in self.trusted}
        for kept in self.outside:
            if kept.trail != self.manifest["trail"]:
                self.found.changed(f"your checkpoint {kept.number}", "it is of another trail than the pack")
            for checkpoint in self.checkpoints:
                if checkpoint.number == kept.number and checkpoint.text != kept.text:
                    self.found.changed(
                        f"checkpoint {kept.number}", "yours says otherwise: one of the two is a fork"
                    )
        if not self.trusted and not self.outside:
            self.found.unproved.append(
                "No key and no checkpoint of yours was given: the pack agrees with itself, and whoever made it could have made all of it. "
                "Compare the keys below with one that you were given another way."
            )
        elif names and not any(checkpoint.key in names for checkpoint in self.checkpoints):
            self.found.changed("keys.ndjson", "no checkpoint is signed by a key that you trust")
        if not self.outside:
            self.found.unproved.append(
                "No checkpoint that was kept outside was given: whoever holds the signing key could have made the trail anew as a whole."
            )

    def _read_entries(self) -> None:
        for place, row in self.pack.rows("entries.ndjson"):
            fields = [row[name] for name in ENTRY_FIELDS]
            entry = int(row["id"])
            if entry in self.entries:
                self.found.changed(place, f"entry {entry} is there twice")
            hashed = digest(netstrings("entry/1", *fields))
            data = strict_json(row["data"].encode())
            self.entries[entry] = (place, {**row, "data": data}, hashed)
            if row["event"] == "chunk.applied":
                self.applied_of.setdefault(data["plan_chunk"], []).append((f"{place} (entry {entry})", data))
                self.last_applied[data["plan"]] = max(entry, self.last_applied.get(data["plan"], 0))
            if row["event"] in ("case.opened", "case.edited"):
                self.edits.append((entry, row["actor"]))

    def _seals(self) -> None:
        before = self.case["chain_before"]
        self.sequence, self.chain = before["sequence"], before["chain"]
        self.signed = {checkpoint.sequence: checkpoint.chain for checkpoint in self.checkpoints}
        self.signed_through = self.sequence
        self.waiting = dict(self.entries)
        if self.sequence == 0 and self.chain != digest(netstrings("trail/1", self.manifest["trail"])).hex():
            self.found.changed("case.json", "the chain does not begin as this trail's does")
        if self.sequence != 0 and self.signed.get(self.sequence) != self.chain:
            self.found.changed(
                "case.json", f"no checkpoint signs the chain at {self.sequence}, where the pack begins"
            )
        self._hold_against_outside("case.json")
        for place, row in self.pack.rows("seals.ndjson"):
            self._seal(f"{place} (seal {row['sequence']})", row)
        self.counts["seals"] = self.sequence - before["sequence"]
        self._chain_ends(before["sequence"])

    def _seal(self, here: str, row: dict[str, Any]) -> None:
        self.sequence += 1
        if row["sequence"] != self.sequence:
            self.found.changed(here, f"seal {self.sequence} is missing, or the order is another")
            self.sequence = row["sequence"]
        link = netstrings(
            "seal/1", str(row["sequence"]), self.chain, row["entry_hash"], str(row["sealed_at_us"])
        )
        if digest(link).hex() != row["chain"]:
            self.found.changed(here, "it does not follow from the seal before it")
        self.chain = row["chain"]
        own = self.waiting.pop(row["entry"], None)
        if own is not None and own[2].hex() != row["entry_hash"]:
            self.found.changed(f"{own[0]} (entry {row['entry']})", "it is not the entry that was sealed")
        if self.signed.get(self.sequence, self.chain) != self.chain:
            self.found.changed(here, "the checkpoint of this sequence names another chain")
        if self.sequence in self.signed:
            self.signed_through = self.sequence
        self._hold_against_outside(here)

    def _hold_against_outside(self, here: str) -> None:
        for kept in self.outside:
            if kept.sequence == self.sequence and kept.chain != self.chain:
                self.found.changed(
                    here, f"your checkpoint {kept.number} names another chain: the trail was made anew"
                )

    def _chain_ends(self, begun: int) -> None:
        for kept in self.outside:
            if not begun <= kept.sequence <= self.sequence:
                self.found.unproved.append(
                    f"Your checkpoint {kept.number} is of seal {kept.sequence}, outside of this pack: nothing was held against it."
                )
        if self.sequence != self.case["sealed_through"]:
            self.found.changed(
                "seals.ndjson", f"it ends at seal {self.sequence}, not at {self.case['sealed_through']}"
            )
        for entry, (place, row, _) in sorted(self.waiting.items()):
            self.found.missing(f"{place} (entry {entry}, {row['event']})", "it is not sealed")
        if self.signed_through < self.sequence:
            self.found.missing(
                "checkpoints.ndjson",
                f"seals {self.signed_through + 1} to {self.sequence} are not signed by a checkpoint yet",
            )
        self.counts["entries"] = len(self.entries)

    # The case, plans, approvals, corrections

    def _revisions(self) -> None:
        """The case and its revisions are what its entries tell of its opening and of every edit."""
        told: dict[int, tuple[int, dict[str, Any]]] = {}
        for entry, (place, row, _) in self.entries.items():
            if row["event"] not in ("case.opened", "case.edited"):
                continue
            number = row["data"]["revision"] if row["event"] == "case.edited" else 1
            if number in told or row["subject_id"] != str(self.case["id"]):
                self.found.changed(
                    f"{place} (entry {entry})", "it tells of another case, or of a revision twice"
                )
            told[number] = (entry, row)
        for revision in self.case["revisions"]:
            number = revision["number"]
            here = f"case.json (revision {number})"
            entry, row = told.pop(number, (0, {}))
            if not row:
                self.found.changed(here, "no audit entry tells of it")
                continue
            said = {"exclusions": {}, **row["data"]}
            if str(revision["edited_by"]) != row["actor"] or any(
                revision[name] != said[name] for name in ("criteria", "target_version", "exclusions")
            ):
                self.found.changed(
                    here, f"its editor, criteria, target or what it leaves out are not those of entry {entry}"
                )
            if number == 1 and (self.case["reason"], self.case["ticket"]) != (row["reason"], said["ticket"]):
                self.found.changed("case.json", f"its reason or ticket is not that of entry {entry}")
        numbers = [revision["number"] for revision in self.case["revisions"]]
        if sorted(numbers) != list(range(1, len(numbers) + 1)):
            self.found.changed("case.json", "its revisions are not numbered from 1 without gaps")
        for number, (entry, _) in sorted(told.items()):
            self.found.changed("case.json", f"revision {number} is missing, and entry {entry} tells of it")

    def _plans(self) -> None:
        for place, row in self.pack.rows("plans.ndjson"):
            self.plans[row["id"]] = (place, row)
        of_plan: dict[int, list[dict[str, Any]]] = {plan: [] for plan in self.plans}
        for place, row in self.pack.rows("chunks.ndjson"):
            self.chunks[row["id"]] = (place, row)
            of_plan[row["plan"]].append(row)
        for plan, (place, row) in self.plans.items():
            if row["digest"] is not None:
                self._check_plan(
                    f"{place} (plan {plan})", row, sorted(of_plan[plan], key=lambda chunk: chunk["position"])
                )

    def _check_plan(self, place: str, row: dict[str, Any], chunks: list[dict[str, Any]]) -> None:
        if digest(row["manifest_text"].encode()).hex() != row["digest"]:
            self.found.changed(place, "its manifest does not have the digest that was approved")
        manifest = json.loads(row["manifest_text"])
        named = (manifest["plan"], manifest["case"], manifest["kind"], manifest["requested_by"])
        if named != (row["id"], self.case["id"], row["kind"], row["requested_by"]):
            self.found.changed(place, "its manifest is another plan's")
        for name in ("reason", "source_plan"):
            if manifest[name] != row[name]:
                self.found.changed(place, f"its {name.replace('_', ' ')} is not the one in its manifest")
        self._check_chunks(place, manifest, chunks)
        if not self._told("plan.sealed", row["id"], row["digest"]):
            self.found.changed(place, "no audit entry tells that it was sealed with this digest")

    def _check_chunks(self, place: str, manifest: dict[str, Any], chunks: list[dict[str, Any]]) -> None:
        root = merkle_root([digest(b"\0" + bytes.fromhex(chunk["root"])) for chunk in chunks])
        if manifest["format"] not in ("plan/1", "plan/2"):
            self.found.changed(place, "its manifest is of a format that this program does not know")
        leaves_out = manifest["format"] == "plan/2"
        listed = b"".join(
            netstrings(
                *(str(chunk[name]) for name in ("position", *COUNTS)),
                chunk["money_text"], chunk["root"], chunk["leaves_digest"],
                *((str(chunk["left_out"]), chunk["left_out_text"]) if leaves_out else ()),
            )
            for chunk in chunks
        )  # fmt: skip
        if root.hex() != manifest["root"] or digest(listed).hex() != manifest["chunks"]:
            self.found.changed(place, "its chunks are not the ones that its manifest covers")
        for name in (*COUNTS, "left_out") if leaves_out else COUNTS:
            if sum(chunk[name] for chunk in chunks) != manifest[name]:
                self.found.changed(place, f"“{name}” of its chunks does not add up to the manifest's")
        if _summed(json.loads(chunk["money_text"]) for chunk in chunks) != manifest["money"]:
            self.found.changed(place, "the money of its chunks does not add up to the manifest's")
        if (
            leaves_out
            and _summed(json.loads(chunk["left_out_text"]).get("money", {}) for chunk in chunks)
            != manifest["left_out_money"]
        ):
            self.found.changed(place, "the money that its chunks left out does not add up to the manifest's")

    def _told(self, event: str, plan: int, wanted: str, actor: str = "") -> list[tuple[int, dict[str, Any]]]:
        """The entries of an event about a plan that carry a digest: number and data."""
        return [
            (entry, row["data"])
            for entry, (_, row, _) in self.entries.items()
            if row["event"] == event and row["subject_type"] == "remediation.plan" and row["subject_id"] == str(plan)
            and row["data"]["digest"] == wanted and actor in ("", row["actor"])
        ]  # fmt: skip

    def _approvals(self) -> None:
        if not {actor for _, actor in self.edits} <= {str(editor) for editor in self.editors}:
            self.found.changed(
                "case.json",
                "whoever opened or edited the case, by its audit entry, is not among its editors",
            )
        decided = set()
        told = {"approve": "plan.approved", "reject": "plan.rejected"}
        for place, row in self.pack.rows("approvals.ndjson"):
            self._approval(f"{place} (plan {row['plan']}, {row['decider']})", row, told[row["decision"]])
            decided.add((told[row["decision"]], str(row["plan"]), str(row["decided_by"])))
        for place, entry, _ in self.entries.values():
            mark = (entry["event"], entry["subject_id"], entry["actor"])
            if entry["event"] in told.values() and mark not in decided:
                self.found.changed(
                    f"{place} (entry {entry['id']})", "it tells of a decision that approvals.ndjson lacks"
                )

    def _approval(self, here: str, row: dict[str, Any], event: str) -> None:
        _, plan = self.plans[row["plan"]]
        person = str(row["decided_by"])
        entries = self._told(event, row["plan"], row["digest"], person)
        # Who edits the case after all of a plan was applied does not take back what they approved before.
        until = max([self.last_applied.get(row["plan"], 0), *(entry for entry, _ in entries)])
        concerned = row["decided_by"] == plan["requested_by"] or any(
            actor == person and entry < until for entry, actor in self.edits
        )
        if row["digest"] != plan["digest"]:
            self.found.changed(here, "it is on another digest than the plan's")
        if concerned:
            self.found.changed(here, "it is by somebody who requested the plan or edited the case")
        if not entries:
            self.found.changed(here, "no audit entry tells of it")
        if entries and not concerned and row["decision"] == "approve" and row["digest"] == plan["digest"]:
            self.approvers.setdefault(row["plan"], set()).add(row["decided_by"])

    def _needed(self, number: int) -> int:
        """How many people's approvals a plan of the pack needs."""
        _, plan = self.plans[number]
        if plan["digest"] is None:
            return 1
        sealed = [
            data["required_approvals"]
            for _, data in self._told("plan.sealed", number, plan["digest"])
            if "required_approvals" in data
        ]
        moved = self.moved.get(number, {}) if sealed and plan["kind"] == "apply" else {}
        return max(approvals_needed(json.loads(plan["manifest_text"]), moved), *map(int, sealed), 0)

    def _corrections(self) -> None:
        current: ChunkAtWork | None = None
        done = set()
        for place, row in self.pack.rows("corrections.ndjson"):
            if current is None or current.chunk["id"] != row["chunk"]:
                if current is not None:
                    current.end()
                if row["chunk"] in done:
                    self.found.changed(place, f"chunk {row['chunk']} begins again")
                done.add(row["chunk"])
                current = ChunkAtWork(self, row["chunk"])
            current.take(place, row)
            self.counts["corrections"] = self.counts.get("corrections", 0) + 1
        if current is not None:
            current.end()
        for chunk, (place, row) in self.chunks.items():
            if chunk not in done and row["proposed"]:
                self.found.changed(
                    f"{place} (chunk {chunk})", f"its {row['proposed']} corrections are missing"
                )
        self._approved_enough()

    def _approved_enough(self) -> None:
        for plan, place in self.plans_applied.items():
            approved, needed = len(self.approvers.get(plan, ())), self._needed(plan)
            if not approved:
                self.found.changed(place, f"rows of plan {plan} were applied, and nobody approved it")
            elif approved < needed:
                self.found.changed(
                    place,
                    f"rows of plan {plan} were applied with {approved} of the {needed} approvals that it needs",
                )


LIMIT = re.compile(r"[0-9]{1,30}(\.[0-9]{1,10})?")


def approvals_needed(manifest: dict[str, Any], moved: dict[str, int]) -> int:
    """How many people must approve the plan of a manifest. `moved` is what goes up and what goes down in its totals, added, by "USD:2"."""
    policy = manifest.get("policy", {})
    usual = policy.get("approvals", 1)
    large = max(usual, policy.get("approvals_for_large", usual))
    if "large_count" in policy and manifest["proposed"] > policy["large_count"]:
        return int(large)
    for key, sums in manifest["money"].items():
        currency, _, scale = key.partition(":")
        changed = max(abs(sums["delta"]), moved.get(key, 0))
        for name, units in (("large_money", changed), ("largest_single", sums["largest"])):
            limits = policy.get(name, {})
            limit = str(limits.get(currency, "0"))
            if not LIMIT.fullmatch(limit):
                raise ValueError(f"{limit[:40]} is no limit")
            if limits and units > Fraction(limit) * 10 ** int(scale):
                return int(large)
    return int(usual)


def _summed(parts: Iterable[dict[str, dict[str, int]]]) -> dict[str, dict[str, int]]:
    """Money of several chunks: before, after and delta are added up, and of the largest changes the largest is taken."""
    total: dict[str, dict[str, int]] = {}
    for money in parts:
        for key, sums in money.items():
            into = total.setdefault(key, {})
            for name, units in sums.items():
                before = into.get(name, 0)
                into[name] = max(before, units) if name == "largest" else before + units
    return total


def _total(calculation: dict[str, Any]) -> int:
    return int(json.loads(calculation["amounts_text"])["total"])


class ChunkAtWork:
    """The corrections of one chunk of a plan, as they come."""

    def __init__(self, verifier: Verifier, chunk: int) -> None:
        self.verifier, self.found = verifier, verifier.found
        self.place, self.chunk = verifier.chunks[chunk]
        self.place = f"{self.place} (chunk {chunk} of plan {self.chunk['plan']})"
        self.leaves: list[bytes] = []
        self.ranges = sorted(verifier.applied_of.get(chunk, []), key=lambda told: told[1]["first_leaf"])
        self.seen: list[dict[str, Any]] = [{"applied": 0, "conflict": [], "money": {}} for _ in self.ranges]
        self.last_transaction: int | None = None
        through = 0
        for place, data in self.ranges:
            if data["first_leaf"] < through:
                self.found.changed(place, "it moved rows that another entry tells of too")
            through = data["first_leaf"] + data.get("leaf_count", data["applied"] + data["conflicts"])
            if data["applied"]:
                verifier.plans_applied.setdefault(self.chunk["plan"], place)
        self.moved = verifier.moved.setdefault(self.chunk["plan"], {})

    def take(self, place: str, row: dict[str, Any]) -> None:
        transaction = row["transaction"]
        here = f"{place} (transaction {transaction['source']}/{transaction['reference']})"
        if row["plan"] != self.chunk["plan"] or row["leaf"] != len(self.leaves):
            self.found.changed(here, f"leaf {len(self.leaves)} of chunk {self.chunk['id']} should be here")
        if self.last_transaction is not None and transaction["id"] <= self.last_transaction:
            self.found.changed(here, "it is not in the order of transactions")
        self.last_transaction = transaction["id"]
        kinds = ((transaction, FACTS), (row["before"], CALCULATION), (row["after"], CALCULATION))
        if not all(of_their_kinds(part, wanted) for part, wanted in kinds):
            self.found.changed(here, "a field of it is not of its kind")
        facts = facts_hash(transaction)
        if facts.hex() != transaction["facts_hash"]:
            self.found.changed(here, "its facts are not the ones that were hashed when they came in")
        leaf = leaf_hash(
            self.chunk["leaf_format"],
            transaction["id"],
            row["after"],
            row["before"],
            bytes.fromhex(transaction["facts_hash"]),
        )
        if leaf.hex() != row["leaf_hash"]:
            self.found.changed(
                here, "before, after or facts are not the ones that were previewed and approved"
            )
        self.leaves.append(bytes.fromhex(row["leaf_hash"]))
        change = _total(row["after"]) - _total(row["before"])
        key = f"{transaction['currency']}:{transaction['scale']}"
        self.moved[key] = self.moved.get(key, 0) + abs(change)
        self._count(here, row, key, change)

    def _count(self, here: str, row: dict[str, Any], key: str, change: int) -> None:
        for (_, data), seen in zip(self.ranges, self.seen):
            count = data.get("leaf_count", data["applied"] + data["conflicts"])
            if not data["first_leaf"] <= row["leaf"] < data["first_leaf"] + count:
                continue
            if row["fate"] == "applied":
                seen["applied"] += 1
                seen["money"][key] = seen["money"].get(key, 0) + change
            elif row["fate"] == "conflict":
                seen["conflict"].append(row["transaction"]["id"])
            else:
                self.found.changed(here, f"it is told as “{row['fate']}”, and its chunk was finished")
            return
        if row["fate"] not in ("failed", "left"):
            self.found.changed(here, f"it is told as “{row['fate']}”, and no audit entry tells of its range")

    def end(self) -> None:
        if len(self.leaves) != self.chunk["proposed"]:
            self.found.changed(
                self.place,
                f"it has {len(self.leaves)} corrections, and {self.chunk['proposed']} were proposed",
            )
        if merkle_root(self.leaves).hex() != self.chunk["root"]:
            self.found.changed(
                self.place,
                "its leaves do not have its root: rows were taken out, put in, exchanged, or hashed anew",
            )
        if digest(b"".join(self.leaves)).hex() != self.chunk["leaves_digest"]:
            self.found.changed(self.place, "its leaves do not have their digest")
        for (place, data), seen in zip(self.ranges, self.seen):
            conflicts = sorted(seen["conflict"])
            wanted = digest(b"".join(int8(number) for number in conflicts)).hex() if conflicts else ""
            if (seen["applied"], len(conflicts)) != (data["applied"], data["conflicts"]):
                self.found.changed(
                    place,
                    f"it tells of {data['applied']} applied and {data['conflicts']} conflicts, "
                    f"the rows of {seen['applied']} and {len(conflicts)}",
                )
            elif data.get("conflicts_digest", wanted) != wanted:
                self.found.changed(place, "other rows are told as conflicts than those that it covers")
            if {key: sum_ for key, sum_ in seen["money"].items() if sum_} != {
                key: sum_ for key, sum_ in data["money"].items() if sum_
            }:
                self.found.changed(place, "the rows' money does not add up to what it tells")
            if data["root"] != self.chunk["root"]:
                self.found.changed(place, "it names another root than its chunk's")


def verify(path: str, outside: list[Checkpoint], trusted: list[bytes]) -> Verifier:
    """A verifier that has gone through the pack at `path`. Raises `Unusable`."""
    verifier = Verifier(Pack(path), outside, trusted)
    try:
        verifier.run()
    except (
        zipfile.BadZipFile,
        zlib.error,
        EOFError,
        OSError,
        NotImplementedError,
        RuntimeError,
        MemoryError,
    ) as error:
        raise Unusable(f"The pack cannot be read: {type(error).__name__}: {error}") from error
    return verifier


def tell(verifier: Verifier) -> int:
    found = verifier.found
    for title, told in (("CHANGED", found.tampered), ("MISSING", found.incomplete)):
        for line in told[:MOST_TOLD]:
            print(f"{title}  {line}")
        if len(told) > MOST_TOLD:
            print(f"{title}  … and {len(told) - MOST_TOLD} more.")
    counted = ", ".join(f"{count:,} {name}" for name, count in sorted(verifier.counts.items()))
    print(f"Looked at {counted or 'nothing'}.")
    for name, public_key in sorted(getattr(verifier, "keys", {}).items()):
        print(f"Signed by the key {name}: {public_key.hex()}")
    for line in found.unproved:
        print(f"Not proved: {line}")
    if found.tampered:
        print(f"TAMPERED: {len(found.tampered)} findings.")
        return 1
    if found.incomplete:
        print(f"INCOMPLETE: nothing was changed, {len(found.incomplete)} things are missing.")
        return 3
    print("OK: everything agrees.")
    return 0


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description="Check an Amends evidence pack.")
    parser.add_argument("pack", help="The ZIP file.")
    parser.add_argument(
        "--checkpoint", action="append", default=[], metavar="FILE", help="A checkpoint that you kept."
    )
    parser.add_argument(
        "--key",
        action="append",
        default=[],
        metavar="PUBLIC_KEY",
        help="A public key that you trust, 64 hexadecimal digits.",
    )
    options = parser.parse_args(arguments)
    outside, trusted = [], []
    for path in options.checkpoint:
        try:
            with open(path, encoding="ascii", newline="") as file:
                checkpoint = read_checkpoint(file.read())
        except (OSError, UnicodeDecodeError) as error:
            parser.error(f"{path}: {error}")
        if checkpoint is None:
            parser.error(f"{path} is no checkpoint.")
        outside.append(checkpoint)
    for text in options.key:
        if not re.fullmatch("[0-9a-fA-F]{64}", text):
            parser.error(f"“{text}” is no public key of 64 hexadecimal digits.")
        trusted.append(bytes.fromhex(text))
    try:
        return tell(verify(options.pack, outside, trusted))
    except Unusable as error:
        print(f"The pack cannot be used: {error}", file=sys.stderr)
        return 2


if __name__ == "__main__":
    sys.exit(main())
