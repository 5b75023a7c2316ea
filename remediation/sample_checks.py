"""What a verification of the trail asks of audit samples: is what was drawn, judged and concluded still what the trail tells?"""

from collections.abc import Iterator
from functools import partial
from typing import Any

from psycopg.rows import dict_row

from audit.verification import SEALED_AFTER, Connection, Finding, Piece, Scope, tampered
from remediation.drawing import Drawn, draw_positions, items_digest

MOST_NAMED = 200
SAMPLES = "audit samples"

_SAMPLES = f"""
    SELECT sample.id, sample.size FROM remediation_auditsample sample
    WHERE %(since)s = 0 OR EXISTS (
        SELECT FROM audit_auditentry entry
        WHERE entry.subject_type = 'remediation.auditsample' AND entry.subject_id = sample.id AND {SEALED_AFTER})
    ORDER BY sample.id
"""
# Numbers as the entry has them: trim_scale leaves 0.01 of 0.01000000.
_SAMPLE = """
    SELECT sample.job_id AS job, job.plan_id AS plan, encode(sample.plan_digest, 'hex') AS plan_digest,
           trim_scale(sample.confidence)::text AS confidence, trim_scale(sample.tolerable_rate)::text AS tolerable_rate,
           trim_scale(sample.expected_rate)::text AS expected_rate, sample.population, sample.size, sample.allowed_errors,
           sample.seed, sample.seed_chosen, sample.draw_format, sample.drawn_by_id AS actor
    FROM remediation_auditsample sample JOIN remediation_job job ON job.id = sample.job_id WHERE sample.id = %s
"""
_ITEMS = """
    SELECT item.number, item.position, item.job_chunk_id, item.leaf_number, item.leaf, item.transaction_id, item.calculation_id,
           item.replaces_id, substring(kept.leaves FROM item.leaf_number * 32 + 1 FOR 32) = item.leaf AS as_stored
    FROM remediation_auditsampleitem item
    LEFT JOIN remediation_jobchunk chunk ON chunk.id = item.job_chunk_id
    LEFT JOIN remediation_planchunkleaves kept ON kept.plan_chunk_id = chunk.plan_chunk_id
    WHERE item.sample_id = %s ORDER BY item.number
"""
_VERDICTS = """
    SELECT item.number, verdict.verdict, verdict.wrong_by, verdict.comment, verdict.shown, verdict.recorded_by_id
    FROM remediation_auditsampleverdict verdict JOIN remediation_auditsampleitem item ON item.id = verdict.item_id
    WHERE item.sample_id = %s ORDER BY verdict.id
"""
_CONCLUSIONS = """
    SELECT accepted, report, comment, concluded_by_id FROM remediation_auditsampleconclusion WHERE sample_id = %s ORDER BY id
"""
_ENTRIES = """
    SELECT entry.id, entry.event, entry.actor_id, entry.reason, entry.data FROM audit_auditentry entry
    WHERE entry.subject_type = 'remediation.auditsample' AND entry.subject_id = %s
      AND entry.event IN ('sample.drawn', 'sample.verdict_recorded', 'sample.concluded')
    ORDER BY entry.id
"""
_GONE = """
    SELECT entry.id, entry.subject_id FROM audit_auditentry entry
    WHERE entry.event = 'sample.drawn' AND NOT EXISTS (SELECT FROM remediation_auditsample sample WHERE sample.id = entry.subject_id)
    ORDER BY entry.id LIMIT %(most)s
"""


def check_samples(scope: Scope) -> Iterator[Piece]:
    """Every audit sample: drawn again from its seed, and held with its verdicts and conclusions against the trail."""
    for number, size in scope.connection.execute(_SAMPLES, {"since": scope.since}).fetchall():
        yield Piece(size, partial(_look_at_sample, number))
    yield Piece(0, _look_for_samples_gone)


def _look_at_sample(number: int, connection: Connection) -> Iterator[Finding]:
    subject = f"Audit sample {number}"
    with connection.cursor(row_factory=dict_row) as cursor:
        sample = cursor.execute(_SAMPLE, [number]).fetchone()
        items = cursor.execute(_ITEMS, [number]).fetchall()
        entries = cursor.execute(_ENTRIES, [number]).fetchall()
    assert sample is not None
    drawn = [entry for entry in entries if entry["event"] == "sample.drawn"]
    if len(drawn) != 1:
        yield tampered(
            SAMPLES, subject, f"one entry of the trail should tell of its drawing: there are {len(drawn)}."
        )
    else:
        yield from _parameters_hold(subject, sample, drawn[0])
        yield from _items_hold(subject, sample, items, drawn[0])
    judged = connection.execute(_VERDICTS, [number]).fetchall()
    yield from _told_alike(
        subject,
        "verdict",
        [tuple(row) for row in judged],
        [_verdict_told(entry) for entry in entries if entry["event"] == "sample.verdict_recorded"],
    )
    concluded = connection.execute(_CONCLUSIONS, [number]).fetchall()
    yield from _told_alike(
        subject,
        "conclusion",
        [tuple(row) for row in concluded],
        [_conclusion_told(entry) for entry in entries if entry["event"] == "sample.concluded"],
    )


def _parameters_hold(subject: str, sample: dict[str, Any], entry: dict[str, Any]) -> Iterator[Finding]:
    told = entry["data"] | {"actor": entry["actor_id"]}
    wrong = [name.replace("_", " ") for name, value in sample.items() if told.get(name) != value]
    if wrong:
        yield tampered(
            SAMPLES, subject, f"its {', '.join(wrong)} are not what entry {entry['id']} of the trail says."
        )


def _items_hold(
    subject: str, sample: dict[str, Any], items: list[dict[str, Any]], entry: dict[str, Any]
) -> Iterator[Finding]:
    """The positions against the seed, the corrections there against the digest in the trail, their leaves against those of the plan."""
    positions = draw_positions(
        seed=sample["seed"],
        job=sample["job"],
        plan_digest=bytes.fromhex(sample["plan_digest"]),
        population=sample["population"],
        size=min(sample["size"], sample["population"]),
    )
    found = [
        Drawn(
            item["position"],
            item["job_chunk_id"],
            item["leaf_number"],
            bytes(item["leaf"]),
            item["transaction_id"],
            item["calculation_id"],
            item["replaces_id"],
        )
        for item in items
    ]
    if [item["number"] for item in items] != list(range(1, sample["size"] + 1)):
        yield tampered(
            SAMPLES, subject, f"its corrections are not numbered from 1 to {sample['size']}: some are gone."
        )
    if [each.position for each in found] != positions:
        yield tampered(SAMPLES, subject, "its seed does not lead to the corrections that it holds.")
    if items_digest(found) != entry["data"]["items"]:
        yield tampered(
            SAMPLES, subject, f"its corrections are not those that entry {entry['id']} of the trail covers."
        )
    for item in items[:MOST_NAMED]:
        if not item["as_stored"]:
            yield tampered(
                SAMPLES,
                f"{subject}, correction {item['number']}",
                "its leaf is not the one that the plan keeps.",
            )


def _told_alike(
    subject: str, what: str, kept: list[tuple[Any, ...]], told: list[tuple[Any, ...]]
) -> Iterator[Finding]:
    """Rows of one kind against the entries that tell of them, in the order in which they were written."""
    if len(kept) != len(told):
        yield tampered(SAMPLES, subject, f"it has {len(kept)} {what}s, and the trail tells of {len(told)}.")
    for place, (row, entry) in enumerate(zip(kept, told, strict=False), 1):
        if row != entry:
            yield tampered(SAMPLES, f"{subject}, {what} {place}", "it is not what the trail says.")


def _verdict_told(entry: dict[str, Any]) -> tuple[Any, ...]:
    data = entry["data"]
    return (
        data["number"],
        data["verdict"],
        data["wrong_by"],
        entry["reason"],
        data["shown"],
        entry["actor_id"],
    )


def _conclusion_told(entry: dict[str, Any]) -> tuple[Any, ...]:
    data = entry["data"]
    return data["accepted"], data["report"], entry["reason"], entry["actor_id"]


def _look_for_samples_gone(connection: Connection) -> Iterator[Finding]:
    for entry, sample in connection.execute(_GONE, {"most": MOST_NAMED}).fetchall():
        yield tampered(SAMPLES, f"Audit sample {sample}", f"is gone; entry {entry} of the trail tells of it.")
