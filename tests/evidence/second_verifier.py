"""A second verifier of evidence packs, written from docs/audit-format.md alone and sharing no code with the first one.

It loads the whole pack and then asks a list of independent rules, one for each statement of the page, what contradicts it. Signatures
are checked by the `cryptography` library.
"""

import binascii
import zipfile
import zlib
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from hashlib import sha256
from itertools import pairwise
from pathlib import Path
from typing import Literal, NamedTuple

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from tests.evidence.second_reading import (
    Pack,
    Row,
    Unreadable,
    chained,
    entry_hash,
    hashed,
    int8,
    leaf_of,
    loaded,
    merkle,
    netstrings,
    parsed,
)


class Finding(NamedTuple):
    """`incomplete` is what is not sealed or signed yet; everything else contradicts the page."""

    place: str
    what: str
    incomplete: bool = False


@dataclass(frozen=True)
class Verdict:
    answer: Literal["ok", "tampered", "incomplete"]
    places: tuple[Finding, ...]


# Rules: each yields what contradicts it.

Rule = Callable[[Pack], Iterator[Finding]]


def no_doubles(pack: Pack) -> Iterator[Finding]:
    identities = {
        "releases": "id",
        "plans": "id",
        "chunks": "id",
        "jobs": "id",
        "entries": "id",
        "seals": "entry",
        "keys": "key",
    }
    for name, identity in identities.items():
        for value, times in Counter(row[identity] for row in pack.of(name)).items():
            if times > 1:
                yield Finding(f"{name}.ndjson", f"{identity} {value} is in it {times} times")


def signatures(pack: Pack) -> Iterator[Finding]:
    public = {row["key"]: bytes.fromhex(row["public_key"]) for row in pack.of("keys")}
    for name, octets in public.items():
        if sha256(octets).hexdigest()[:16] != name:
            yield Finding("keys.ndjson", f"{name} is not that key's name")
    for each, row in zip(pack.checkpoints, pack.of("checkpoints"), strict=True):
        place = f"checkpoint {row['number']}"
        if (each.number, each.trail) != (row["number"], pack.manifest["trail"]):
            yield Finding(place, "its number or trail is another")
        try:
            Ed25519PublicKey.from_public_bytes(public[each.key]).verify(each.signature, each.signed)
        except (KeyError, ValueError, InvalidSignature):
            yield Finding(place, "its signature is not that of its key")
    trusted = {sha256(key).hexdigest()[:16] for key in pack.keys if key in public.values()}
    if pack.keys and pack.checkpoints and not trusted & {each.key for each in pack.checkpoints}:
        yield Finding("checkpoints.ndjson", "none is signed by a key from outside")


def succession(pack: Pack) -> Iterator[Finding]:
    for each in pack.checkpoints[:1]:
        if (each.number == 1) != (each.previous == "0" * 64):
            yield Finding("checkpoint 1", "the first one has no previous, and every other has")
        if each.sequence > pack.case["chain_before"]["sequence"] > 0:
            yield Finding("checkpoints.ndjson", "the first one is after what the chain begins with")
    for before, each in pairwise(pack.checkpoints):
        place = f"checkpoint {each.number}"
        if each.number != before.number + 1 or each.previous != sha256(before.text.encode()).hexdigest():
            yield Finding(place, "it does not follow the one before")
        if each.sequence < before.sequence:
            yield Finding(place, "its sequence decreases")
        signer = (
            before.key if before.new_key is None else sha256(bytes.fromhex(before.new_key)).hexdigest()[:16]
        )
        if each.key != signer:
            yield Finding(place, "the key before did not hand over to its key")


def chain(pack: Pack) -> Iterator[Finding]:
    sequence, value = pack.case["chain_before"]["sequence"], pack.case["chain_before"]["chain"]
    known = {each.chain for each in pack.checkpoints if each.sequence == sequence}
    if value not in ({hashed("trail/1", pack.manifest["trail"])} if sequence == 0 else known):
        yield Finding("case.json", "nothing vouches for what the chain begins with")
    pack.chains[sequence] = value
    for seal in pack.of("seals"):
        sequence, value = sequence + 1, chained(value, seal)
        pack.chains[sequence] = seal["chain"]
        if (seal["sequence"], seal["chain"]) != (sequence, value):
            yield Finding(f"seal {seal['sequence']}", "it does not follow from the one before")
    if sequence != pack.case["sealed_through"]:
        yield Finding("seals.ndjson", "it does not end where the case says")


def checkpoints_and_chain(pack: Pack) -> Iterator[Finding]:
    start, end = pack.case["chain_before"]["sequence"], pack.case["sealed_through"]
    for each in pack.checkpoints:
        if each.sequence >= start and pack.chains.get(each.sequence) != each.chain:
            yield Finding(f"checkpoint {each.number}", "the chain is another there")
    numbers = {each.number: each.text for each in pack.checkpoints}
    for each in pack.outside:
        same_chain = not start <= each.sequence <= end or pack.chains.get(each.sequence) == each.chain
        if (
            not same_chain
            or numbers.get(each.number, each.text) != each.text
            or each.trail != pack.manifest["trail"]
        ):
            yield Finding("the checkpoint from outside", "it says otherwise than the pack")
    if max((each.sequence for each in pack.checkpoints), default=-1) < end:
        yield Finding("checkpoints.ndjson", "none ends the span", incomplete=True)


def entries(pack: Pack) -> Iterator[Finding]:
    seals = {str(seal["entry"]): seal["entry_hash"] for seal in pack.of("seals")}
    for row in pack.of("entries"):
        if row["id"] not in seals:
            yield Finding(f"entry {row['id']}", f"{row['event']} is not sealed yet", incomplete=True)
        elif entry_hash(row) != seals[row["id"]]:
            yield Finding(f"entry {row['id']}", "it is not the one that was sealed")


COUNTS = ("scanned", "unchanged", "proposed", "failed", "moved_since")


def summed(moneys: Iterable[Row]) -> Row:
    total: dict[str, dict[str, int]] = {}
    for money in moneys:
        for currency, amounts in money.items():
            sums = total.setdefault(currency, {})
            for name, amount in amounts.items():
                sums[name] = (
                    max(sums.get(name, 0), amount) if name == "largest" else sums.get(name, 0) + amount
                )
    return total


def manifest_of(plan: Row, chunks: list[Row], case: int) -> Row:
    """What a sealed plan's manifest has to say."""
    roots = [sha256(b"\0" + bytes.fromhex(row["root"])).digest() for row in chunks]
    second = parsed(plan["manifest_text"], f"plan {plan['id']}").get("format") == "plan/2"
    added = ("left_out", "left_out_text") if second else ()
    fields = ("position", *COUNTS, "money_text", "root", "leaves_digest", *added)
    joined = b"".join(netstrings(*(row[name] for name in fields)) for row in chunks)
    told = {"plan": plan["id"], "case": case, "requested_by": plan["requested_by"]}
    told |= {
        "format": "plan/2" if second else "plan/1",
        "reason": plan["reason"],
        "source_plan": plan["source_plan"],
        "kind": plan["kind"],
    }
    if second:
        out = [parsed(row["left_out_text"], f"chunk {row['id']}").get("money", {}) for row in chunks]
        told |= {"left_out": sum(row["left_out"] for row in chunks), "left_out_money": summed(out)}
    told |= {"root": merkle(roots).hex(), "chunks": sha256(joined).hexdigest()}
    money = summed(parsed(row["money_text"], f"chunk {row['id']}") for row in chunks)
    return told | {name: sum(row[name] for row in chunks) for name in COUNTS} | {"money": money}


def plans(pack: Pack) -> Iterator[Finding]:
    by_plan = pack.by("chunks", "plan")
    for plan in pack.of("plans"):
        place, text, chunks = f"plan {plan['id']}", plan["manifest_text"], by_plan.pop(plan["id"], [])
        chunks.sort(key=lambda row: int(row["position"]))
        if text is None or plan["digest"] is None:
            if text != plan["digest"]:
                yield Finding(place, "manifest and digest are both null or none is")
            continue
        if sha256(text.encode()).hexdigest() != plan["digest"]:
            yield Finding(place, "its digest is not its manifest's")
        if any(row[name] is None for row in chunks for name in ("root", "leaves_digest", "money_text")):
            yield Finding(place, "it was sealed with a chunk that was never scanned")
        elif not manifest_of(plan, chunks, pack.manifest["case"]).items() <= parsed(text, place).items():
            yield Finding(place, "its manifest is not that of its chunks")
        if plan["digest"] not in [
            parsed(row["data"], "an entry").get("digest") for row in pack.told("plan.sealed", plan["id"])
        ]:
            yield Finding(place, "no entry tells that it was sealed")
    for number in by_plan:
        yield Finding("chunks.ndjson", f"there is no plan {number}")


def revisions(pack: Pack) -> Iterator[Finding]:
    """The case as its entries tell of it: opened as revision 1, edited as the others."""
    told: dict[int, list[tuple[Row, Row]]] = {}
    for row in pack.of("entries"):
        if row["event"] in ("case.opened", "case.edited"):
            data = parsed(row["data"], "an entry")
            number = 1 if row["event"] == "case.opened" else data["revision"]
            told.setdefault(number, []).append((row, {"exclusions": {}} | data))
    numbers = [revision["number"] for revision in pack.case["revisions"]]
    without_gaps = list(range(1, len(numbers) + 1))
    if not sorted(numbers) == sorted(told) == without_gaps or any(len(each) > 1 for each in told.values()):
        yield Finding("case.json", "its revisions are not those that entries tell of")
    for revision in pack.case["revisions"]:
        for row, data in told.get(revision["number"], []):
            place = f"revision {revision['number']}"
            names = ("criteria", "target_version", "exclusions")
            if (row["subject_id"], row["actor"]) != (str(pack.case["id"]), str(revision["edited_by"])):
                yield Finding(place, "its entry is of another case or person")
            if any(revision[name] != data[name] for name in names):
                yield Finding(place, "its entry tells otherwise")
            if row["event"] == "case.opened" and (row["reason"], data["ticket"]) != (
                pack.case["reason"],
                pack.case["ticket"],
            ):
                yield Finding("case.json", "it was opened for another reason or ticket")


def approvals(pack: Pack) -> Iterator[Finding]:
    known = {plan["id"]: plan for plan in pack.of("plans")}
    editors = {revision["edited_by"] for revision in pack.case["revisions"]}
    edits = [row for row in pack.of("entries") if row["event"] in ("case.opened", "case.edited")]
    if not {row["actor"] for row in edits} <= {str(editor) for editor in editors}:
        yield Finding("case.json", "somebody opened or edited it who is not among its editors")
    good: dict[int, set[int]] = {}
    for row in pack.of("approvals"):
        place, plan = f"the approval of plan {row['plan']} by {row['decided_by']}", known.get(row["plan"], {})
        event = {"approve": "plan.approved", "reject": "plan.rejected"}.get(row["decision"], "")
        told = [
            int(each["id"])
            for each in pack.told(event, row["plan"])
            if (each["actor"], parsed(each["data"], "an entry").get("digest"))
            == (str(row["decided_by"]), row["digest"])
        ]
        wrong = []
        if row["digest"] != plan.get("digest"):
            wrong.append("it is not of the plan's digest")
        end = max([*told, *applied_at(pack, row["plan"])], default=0)
        before = {each["actor"] for each in edits if int(each["id"]) < end}
        if row["decided_by"] == plan.get("requested_by") or str(row["decided_by"]) in before:
            wrong.append("who asked for it, or edited the case, may not decide")
        if not told:
            wrong.append("no entry tells of it")
        if row["decision"] == "approve" and not wrong:
            good.setdefault(row["plan"], set()).add(row["decided_by"])
        yield from (Finding(place, what) for what in wrong)
    for number in sorted({row["plan"] for row in pack.of("corrections") if row["fate"] == "applied"}):
        if len(good.get(number, ())) < needed(pack, known[number]):
            yield Finding(f"plan {number}", "it was applied with fewer approvals than it needs")


def applied_at(pack: Pack, plan: int) -> list[int]:
    applied = [row for row in pack.of("entries") if row["event"] == "chunk.applied"]
    return [int(row["id"]) for row in applied if parsed(row["data"], "an entry")["plan"] == plan]


def needed(pack: Pack, plan: Row) -> int:
    """How many approvals a plan needs, as the page has it."""
    if plan["manifest_text"] is None:
        return 1
    sealed = [parsed(row["data"], "an entry") for row in pack.told("plan.sealed", plan["id"])]
    told = [
        data["required_approvals"]
        for data in sealed
        if data["digest"] == plan["digest"] and "required_approvals" in data
    ]
    ways: Counter[str] = Counter()
    for row in pack.of("corrections") if told and plan["kind"] == "apply" else ():
        if row["plan"] == plan["id"]:
            before, after = (
                parsed(row[side]["amounts_text"], "amounts")["total"] for side in ("before", "after")
            )
            ways[f"{row['transaction']['currency']}:{row['transaction']['scale']}"] += abs(after - before)
    return max(asked_by_policy(parsed(plan["manifest_text"], "a manifest"), ways), *map(int, told), 0)


def asked_by_policy(manifest: Row, ways: Mapping[str, int]) -> int:
    policy = manifest.get("policy", {})
    few = int(policy.get("approvals", 1))
    many = max(few, int(policy.get("approvals_for_large", few)))

    def beyond(limits: Row, key: str, units: int) -> bool:
        currency, scale = key.split(":")
        whole, _point, part = str(limits.get(currency, 0)).partition(".")
        tenths = len(part)  # whole numbers on both sides: nothing is rounded
        return bool(limits) and units * 10**tenths > int(whole + part) * 10 ** int(scale)

    money = manifest["money"].items()
    large = (
        manifest["proposed"] > policy.get("large_count", manifest["proposed"])
        or any(
            beyond(policy.get("large_money", {}), key, max(abs(sums["delta"]), ways.get(key, 0)))
            for key, sums in money
        )
        or any(beyond(policy.get("largest_single", {}), key, sums["largest"]) for key, sums in money)
    )
    return many if large else few


def corrections(pack: Pack) -> Iterator[Finding]:
    chunks = {row["id"]: row for row in pack.of("chunks")}
    order = []
    for number, row in enumerate(pack.of("corrections"), 1):
        place, facts, chunk = f"correction {number}", row["transaction"], chunks.get(row["chunk"], {})
        order.append((row["plan"], chunk.get("position", -1), row["leaf"]))
        names = ("source", "reference", "store", "currency", "scale", "occurred_at_us", "inputs_text")
        if hashed("facts/1", *(facts[name] for name in names)) != facts["facts_hash"]:
            yield Finding(place, "its facts are others")
        if chunk.get("plan") != row["plan"] or chunk["leaf_format"] not in (1, 2):
            yield Finding(place, "it is in no chunk of its plan")
        elif leaf_of(row, chunk["leaf_format"]) != row["leaf_hash"]:
            yield Finding(place, "its leaf is another")
        if row["fate"] not in ("applied", "conflict", "failed", "left"):
            yield Finding(place, "it has no fate that there is")
    if any(each >= after for each, after in pairwise(order)):
        yield Finding("corrections.ndjson", "it is not by plan, position and leaf")


def leaves(pack: Pack) -> Iterator[Finding]:
    by_chunk = pack.by("corrections", "chunk")
    for chunk in pack.of("chunks"):
        place, found = f"chunk {chunk['id']}", by_chunk.get(chunk["id"], [])
        hashes = [bytes.fromhex(row["leaf_hash"]) for row in found]
        transactions = [row["transaction"]["id"] for row in found]
        if [row["leaf"] for row in found] != list(range(chunk["proposed"])) or transactions != sorted(
            set(transactions)
        ):
            yield Finding(place, "its leaves are not all there, in the order of transactions")
        if chunk["root"] is None and not found:
            continue
        if (merkle(hashes).hex(), sha256(b"".join(hashes)).hexdigest()) != (
            chunk["root"],
            chunk["leaves_digest"],
        ):
            yield Finding(place, "its leaves do not have its root and digest")


def moved(found: list[Row]) -> dict[str, int]:
    total: Counter[str] = Counter()
    for row in found:
        before, after = (
            parsed(row[side]["amounts_text"], "amounts")["total"] for side in ("before", "after")
        )
        total[f"{row['transaction']['currency']}:{row['transaction']['scale']}"] += after - before
    return {currency: amount for currency, amount in total.items() if amount}


def applies(pack: Pack) -> Iterator[Finding]:
    by_chunk, roots = pack.by("corrections", "chunk"), {row["id"]: row["root"] for row in pack.of("chunks")}
    told = [
        (row["id"], parsed(row["data"], "an entry"))
        for row in pack.of("entries")
        if row["event"] == "chunk.applied"
    ]
    seen: set[tuple[int, int]] = set()
    for number, data in told:
        place, start, count = f"entry {number}", data["first_leaf"], data["applied"] + data["conflicts"]
        found = [row for row in by_chunk.get(data["plan_chunk"], []) if start <= row["leaf"] < start + count]
        places = {(data["plan_chunk"], leaf) for leaf in range(start, start + count)}
        fates = {fate: [row for row in found if row["fate"] == fate] for fate in ("applied", "conflict")}
        if (len(fates["applied"]), len(fates["conflict"])) != (data["applied"], data["conflicts"]):
            yield Finding(place, "the rows do not have as many of each fate")
        if (
            places & seen
            or data.get("leaf_count", count) != count
            or data["root"] != roots.get(data["plan_chunk"])
        ):
            yield Finding(place, "its range overlaps another, or is not of that chunk")
        seen |= places
        conflicts = b"".join(map(int8, sorted(row["transaction"]["id"] for row in fates["conflict"])))
        if data.get("conflicts_digest") not in (None, sha256(conflicts).hexdigest() if conflicts else ""):
            yield Finding(place, "the conflicts are others")
        if moved(fates["applied"]) != {name: amount for name, amount in data["money"].items() if amount}:
            yield Finding(place, "the applied rows have other money")
    for row in pack.of("corrections"):
        if (row["chunk"], row["leaf"]) not in seen and row["fate"] in ("applied", "conflict"):
            yield Finding(f"leaf {row['leaf']} of chunk {row['chunk']}", "no entry tells of it")


RULES: tuple[Rule, ...] = (
    no_doubles, signatures, succession, chain, checkpoints_and_chain, entries, revisions, plans, approvals, corrections, leaves, applies,
)  # fmt: skip


def asked(rule: Rule, pack: Pack) -> Iterator[Finding]:
    """What a hashed text does not even hold (a key, a type) contradicts the rule too."""
    try:
        yield from rule(pack)
    except (Unreadable, KeyError, TypeError, ValueError, AttributeError, OverflowError) as wrong:
        yield Finding(rule.__name__, f"not as the page says: {wrong!r}")


def verdict(pack: Path, *, keys: Sequence[bytes] = (), checkpoints: Sequence[str] = ()) -> Verdict:
    """What a pack is worth. `keys` are public keys (32 octets) and `checkpoints` whole texts, both from outside."""
    try:
        read = loaded(pack, keys, checkpoints)
    except (
        Unreadable,
        OSError,
        zipfile.BadZipFile,
        zlib.error,
        EOFError,
        NotImplementedError,
        RuntimeError,
        binascii.Error,
    ) as wrong:
        return Verdict("tampered", (Finding(str(pack), str(wrong)),))
    found = tuple(finding for rule in RULES for finding in asked(rule, read))
    if any(not finding.incomplete for finding in found):
        return Verdict("tampered", found)
    return Verdict("incomplete" if found else "ok", found)
