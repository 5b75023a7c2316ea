"""What was done to entries, seals and checkpoints is found and named; some of it only with a checkpoint from outside."""

import json
import re
from pathlib import Path
from typing import Any

import psycopg
import pytest
from django.core.management import call_command
from psycopg.sql import SQL, Identifier

from audit.checkpoint import NoCheckpoint, SignedCheckpoint, read_public_key
from audit.models import AuditEntry
from audit.verification import Verification, verify_everything
from tests.audit.sealing import key, name_of, public, seal_everything, sign
from tests.conftest import UserFactory
from tests.remediation.driving import opened
from tests.remediation.incident import report
from tests.remediation.tampering import tamper
from tests.transactions.test_ingest import reported, taken_in

pytestmark = pytest.mark.usefixtures("committed_db")
Owner = "psycopg.Connection[Any]"


def told(verification: Verification) -> str:
    return "\n".join(f"[{each.check}] {each}" for each in verification.findings)


@pytest.fixture
def texts(users: UserFactory, owner_connection: "psycopg.Connection[Any]") -> list[str]:
    """Three checkpoints, with entries sealed before each and one entry waiting. The first hands over from key 1 to key 2."""
    engineer = users("engineer")
    found = []
    for number, keys in enumerate([(key(1), key(2)), (key(2), None), (key(2), None)]):
        report(2, first=10 * number)
        taken_in(engineer, reported(number))
        seal_everything(owner_connection)
        found.append(sign(owner_connection, keys[0], new_key=keys[1]))
    opened(engineer)
    return found


def outside(*texts: str) -> list[SignedCheckpoint]:
    return [SignedCheckpoint.read(text) for text in texts]


def test_an_untouched_trail_is_whole_with_all_checkpoints_and_the_first_key_alone(texts: list[str]) -> None:
    verification = verify_everything(checkpoints=outside(*texts), keys=[public(key(1))])
    assert told(verification) == ""
    assert verification.result == "ok"
    assert verification.sequence == 6
    assert verification.checkpoints == [1, 2, 3]
    assert verify_everything(keys=[public(key(2))]).result == "ok"


def test_a_server_that_keeps_another_time_than_utc_looks_like_no_tampering(
    texts: list[str], owner_connection: "psycopg.Connection[Any]"
) -> None:
    owner_connection.execute(
        SQL("ALTER DATABASE {} SET timezone = 'Asia/Tokyo'").format(Identifier(owner_connection.info.dbname))
    )
    tamper(
        owner_connection,
        "UPDATE audit_auditentry SET occurred_at = '2026-03-01T12:00Z' WHERE id IN (SELECT entry_id FROM audit_sealqueue)",
    )
    assert told(verify_everything(checkpoints=outside(*texts), keys=[public(key(1))])).endswith(
        "the oldest since 2026-03-01 12:00:00 UTC: until then changes of it would not show. Is the sealer running?"
    )


def entry_of(sequence: int) -> str:
    return f"(SELECT entry_id FROM audit_auditseal WHERE sequence = {sequence})"


FOUND: dict[str, tuple[str, str]] = {
    **{
        f"an entry's {column}": (
            f"UPDATE audit_auditentry SET {column} = {value} WHERE id = {entry_of(2)}",
            r"\[entries\] Entry \d+ \(.*\): is not what was sealed as seal 2: it was changed",
        )
        for column, value in {
            "event": "'case.opened'",
            "actor_id": "coalesce(actor_id, 0) + 1",
            "actor_label": "'somebody else'",
            "subject_type": "'x'",
            "subject_id": "subject_id + 1",
            "subject_label": "subject_label || ' '",
            "reason": "'another'",
            "request_id": "'x'",
            "data": "data || '{\"x\": 1}'",
            "occurred_at": "occurred_at + interval '1 microsecond'",
        }.items()
    },
    "two entries exchanged": (
        "UPDATE audit_auditentry one SET (event, subject_type, subject_id, subject_label, reason, data) ="
        " (SELECT event, subject_type, subject_id, subject_label, reason, data FROM audit_auditentry other"
        f" WHERE other.id IN ({entry_of(2)}, {entry_of(3)}) AND other.id <> one.id) WHERE one.id IN ({entry_of(2)}, {entry_of(3)})",
        r"\[entries\] Entry \d+ \(.*\): is not what was sealed as seal 2: it was changed",
    ),
    "an entry deleted": (
        f"DELETE FROM audit_auditentry WHERE id = {entry_of(3)}",
        r"\[entries\] Entry \d+: is gone; seal 3 stands",
    ),
    "an entry that waits deleted": (
        "DELETE FROM audit_auditentry WHERE id IN (SELECT entry_id FROM audit_sealqueue)",
        r"\[entries\] Entry \d+: is gone before it was sealed",
    ),
    "an entry put in past the queue": (
        "INSERT INTO audit_auditentry (event, actor_label, subject_type, subject_id, subject_label, reason, request_id, data)"
        " SELECT event, actor_label, subject_type, subject_id, subject_label, reason, request_id, data FROM audit_auditentry LIMIT 1",
        r"\[entries\] Entry \d+ \(.*\): is neither sealed nor waiting",
    ),
    "an entry taken out of the queue": (
        "DELETE FROM audit_sealqueue",
        r"\[entries\] Entry \d+ \(case.opened\): is neither sealed nor waiting",
    ),
    "a seal's hash": (
        "UPDATE audit_auditseal SET entry_hash = sha256('') WHERE sequence = 4",
        r"\[seals\] Seal 4: does not chain to the one before",
    ),
    "a seal's time": (
        "UPDATE audit_auditseal SET sealed_at = sealed_at + interval '1 microsecond' WHERE sequence = 4",
        r"\[seals\] Seal 4: does not chain to the one before",
    ),
    "a seal deleted": (
        "DELETE FROM audit_auditseal WHERE sequence = 3",
        r"\[seals\] Seal 3: is gone from the chain",
    ),
    "the tail cut": (
        "DELETE FROM audit_auditentry WHERE id IN (SELECT entry_id FROM audit_auditseal WHERE sequence > 5);;"
        "DELETE FROM audit_auditseal WHERE sequence > 5",
        r"\[checkpoints\] Checkpoint 3: seal 6, which it covers, is gone: the chain was cut",
    ),
    "a checkpoint deleted": (
        "DELETE FROM audit_checkpoint WHERE number = 2",
        r"\[checkpoints\] Checkpoint 2: is gone; the next one there is 3",
    ),
    "a checkpoint's text": (
        "UPDATE audit_checkpoint SET text = replace(text, 'sequence: 4', 'sequence: 3'), sequence = 3 WHERE number = 2",
        r"\[checkpoints\] Checkpoint 2: its signature is not that of key",
    ),
    "a checkpoint's column": (
        "UPDATE audit_checkpoint SET sequence = 3 WHERE number = 2",
        r"\[checkpoints\] Checkpoint 2: its columns, or the trail's own id, are not what its text says",
    ),
    "a key exchanged": (
        "UPDATE audit_auditkey SET public_key = sha256('') WHERE key_id = (SELECT key_id FROM audit_checkpoint WHERE number = 3)",
        r"\[checkpoints\] Key [0-9a-f]{16}: is not the key of that name",
    ),
}


@pytest.mark.parametrize("kind", FOUND)
def test_what_was_tampered_with_is_found_and_named(
    kind: str, texts: list[str], owner_connection: "psycopg.Connection[Any]"
) -> None:
    statements, named = FOUND[kind]
    for statement in statements.split(";;"):
        tamper(owner_connection, statement)
    verification = verify_everything()
    assert verification.result == "tampered"
    assert re.search(named, told(verification)), told(verification)


def made_anew(owner: "psycopg.Connection[Any]", signer: int = 2) -> None:
    """As somebody who owns the database and has a key: change an entry, then make every seal and checkpoint anew."""
    tamper(owner, f"UPDATE audit_auditentry SET reason = 'another' WHERE id = {entry_of(2)}")
    tamper(owner, "INSERT INTO audit_sealqueue (entry_id) SELECT entry_id FROM audit_auditseal")
    tamper(owner, "DELETE FROM audit_checkpoint")
    tamper(owner, "DELETE FROM audit_auditseal")
    seal_everything(owner)
    sign(owner, key(signer))


def test_a_trail_that_was_made_anew_with_the_key_shows_only_against_a_checkpoint_from_outside(
    texts: list[str], owner_connection: "psycopg.Connection[Any]"
) -> None:
    made_anew(owner_connection)
    assert told(verify_everything(keys=[public(key(2))])) == ""
    verification = verify_everything(checkpoints=outside(texts[0]), keys=[public(key(1))])
    assert "Checkpoint 1 from outside: is another one in the database: the trail was forked" in told(
        verification
    )
    assert "says another chain at seal 2 than there is: the chain was made anew" in told(verification)


def test_a_trail_made_anew_with_another_key_shows_by_the_key_that_the_auditor_trusts(
    texts: list[str], owner_connection: "psycopg.Connection[Any]"
) -> None:
    made_anew(owner_connection, signer=9)
    assert told(verify_everything()) == ""
    found = told(verify_everything(keys=[public(key(1))]))
    assert f"is signed by key {name_of(public(key(9)))}, which is none that you trust" in found


def test_an_older_backup_shows_only_against_a_newer_checkpoint_from_outside(
    texts: list[str], owner_connection: "psycopg.Connection[Any]"
) -> None:
    tamper(owner_connection, "DELETE FROM audit_checkpoint WHERE number = 3")
    tamper(owner_connection, "DELETE FROM audit_sealqueue")
    tamper(owner_connection, "DELETE FROM remediation_caserevision")
    tamper(owner_connection, "DELETE FROM remediation_case")
    last_kept = entry_of(4)
    later = f"(SELECT subject_id FROM audit_auditentry WHERE id > {last_kept} AND subject_type = 'transactions.ingestbatch')"
    known = f"(SELECT id FROM transactions_transaction WHERE batch_id IN {later})"
    tamper(owner_connection, f"DELETE FROM transactions_currentcalculation WHERE transaction_id IN {known}")
    for table in ("transaction", "calculation", "ingestleaves"):
        tamper(owner_connection, f"DELETE FROM transactions_{table} WHERE batch_id IN {later}")
    tamper(owner_connection, f"DELETE FROM transactions_ingestbatch WHERE id IN {later}")
    tamper(owner_connection, f"DELETE FROM audit_auditentry WHERE id > {last_kept}")
    tamper(owner_connection, "DELETE FROM audit_auditseal WHERE sequence > 4")
    assert told(verify_everything()) == ""
    found = told(verify_everything(checkpoints=outside(texts[2])))
    assert "Checkpoint 3 from outside: is not in the database" in found
    assert "covers seal 6, which is not there: the trail was cut, or an older backup restored" in found


def test_a_checkpoint_of_another_trail_and_one_with_a_forged_signature_are_refused(texts: list[str]) -> None:
    other = texts[0].replace(re.search("trail: (.*)", texts[0])[1], "00000000-0000-0000-0000-000000000000")
    assert "is of trail 00000000-" in told(verify_everything(checkpoints=outside(other)))
    forged = texts[0].replace("sequence: 2", "sequence: 1")
    found = told(verify_everything(checkpoints=outside(forged)))
    assert "Checkpoint 1 from outside: its signature is not that of key" in found


def test_a_change_of_keys_that_was_not_handed_over_is_found(
    texts: list[str], owner_connection: "psycopg.Connection[Any]"
) -> None:
    sign(owner_connection, key(5))
    found = told(verify_everything())
    assert (
        f"Checkpoint 4: is signed by key {name_of(public(key(5)))}, and the one before it was signed by"
        in found
    )
    assert told(verify_everything(keys=[public(key(5))])) == ""


def test_since_a_checkpoint_only_what_came_later_is_looked_at(
    texts: list[str], users: UserFactory, owner_connection: "psycopg.Connection[Any]"
) -> None:
    since = outside(texts[1])[0]
    verification = verify_everything(since=since)
    assert told(verification) == ""
    assert verification.since == 4
    assert verification.rows["seals"] == 2
    assert verification.rows["calculations that came in"] == 3
    assert verification.rows["pointers"] == 3
    tamper(owner_connection, "UPDATE transactions_transaction SET scale = 3 WHERE reference = 'o-0'")
    assert told(verify_everything(since=since)) == ""
    tamper(owner_connection, "UPDATE transactions_transaction SET scale = 3 WHERE reference = 'o-21'")
    assert "Transaction o-21" in told(verify_everything(since=since))


def test_entries_that_wait_long_for_their_seal_leave_the_verification_incomplete(
    texts: list[str], owner_connection: "psycopg.Connection[Any]"
) -> None:
    tamper(
        owner_connection,
        "UPDATE audit_auditentry SET occurred_at = occurred_at - interval '2 minutes' WHERE id IN (SELECT entry_id FROM audit_sealqueue)",
    )
    verification = verify_everything()
    assert verification.result == "incomplete"
    assert "An entry: waits to be sealed, the oldest since" in told(verification)


def run(*arguments: str) -> int:
    try:
        call_command("audit", "verify", *arguments)
    except SystemExit as end:
        return int(end.code or 0)
    return 0


def test_the_command_tells_by_its_exit_code_what_was_found(
    texts: list[str],
    owner_connection: "psycopg.Connection[Any]",
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    file = tmp_path / "checkpoint.txt"
    file.write_text(texts[0])
    assert run("--checkpoint", str(file), "--key", public(key(1)).hex(), "--json") == 0
    answer = json.loads(capsys.readouterr().out)
    assert (answer["result"], answer["checkpoints"], answer["findings"]) == ("ok", [1], [])
    assert run("--since", str(file)) == 0
    assert "Everything is as it was written." in capsys.readouterr().out
    tamper(
        owner_connection,
        "UPDATE audit_auditentry SET occurred_at = occurred_at - interval '2 minutes' WHERE id IN (SELECT entry_id FROM audit_sealqueue)",
    )
    assert run() == 3
    tamper(owner_connection, "UPDATE transactions_transaction SET scale = 3 WHERE reference = 'o-0'")
    assert run() == 1
    said = capsys.readouterr().out
    assert "TAMPERED [calculations that came in] Transaction o-0" in said
    assert "No checkpoint from outside was given" in said
    assert AuditEntry.objects.filter(event="audit.verified").count() == 4


@pytest.mark.parametrize("broken", ["", "x", "\n", "amends-checkpoint/1\n"])
def test_what_is_no_checkpoint_to_the_letter_is_not_read(texts: list[str], broken: str) -> None:
    for text in (
        broken,
        texts[0] + broken + "\n",
        texts[0].replace("\n", "\r\n"),
        texts[0].replace("number: 1", "number: 01"),
    ):
        with pytest.raises(NoCheckpoint):
            SignedCheckpoint.read(text)


def test_a_public_key_is_read_from_digits_or_from_a_file(tmp_path: Path) -> None:
    file = tmp_path / "key.pub"
    file.write_text(public(key(3)).hex() + "\n")
    assert read_public_key(str(file)) == read_public_key(public(key(3)).hex()) == public(key(3))
    file.write_text("abc")
    with pytest.raises(ValueError, match="64 hexadecimal digits"):
        read_public_key(str(file))
