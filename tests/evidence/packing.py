"""A case that went through the product, its evidence pack, and ways to take a pack apart and put it together again changed."""

import json
import subprocess
import sys
import zipfile
from collections.abc import Callable
from datetime import timedelta
from hashlib import sha256
from pathlib import Path
from typing import Any

from django.contrib.auth.models import User

from audit.checkpointing import sign_checkpoint
from audit.seal import connect
from audit.sealer import seal_all
from audit.signing import KeySigner, make_key
from remediation.evidence.pack import VERIFIER, write_evidence
from remediation.models import Case
from remediation.revert import request_revert
from tests.remediation.driving import applied, approved, previewed, verified, work_until_ended
from tests.remediation.incident import START, recalculate, report

Members = dict[str, bytes]
Change = Callable[[Members], None]


def corrected_case(engineer: User, approver: User) -> Case:
    """Five transactions too cheap, three of them in dollars: one is a conflict, the others are corrected, and taken back again."""
    dollars = report(3)
    report(2, first=3, currency="JPY", scale=0)
    plan = approved(previewed(engineer), approver)
    recalculate(dollars[1], fee_percent=3, at=START + timedelta(days=1))
    job = applied(plan, engineer)
    assert (job.status, plan.case.jobs.count()) == ("finished", 2)
    verified(plan.case, engineer)
    back = request_revert(plan.case, reason="It was right after all.", acting_user=engineer)
    work_until_ended(back.jobs.get())
    back.refresh_from_db()
    applied(approved(back, approver), engineer)
    return plan.case


class Signing:
    """A key, and the sealer's turn with it; `public` is what an auditor was given, `last` what they kept."""

    def __init__(self, folder: Path) -> None:
        self.public = make_key(folder / "key.pem").hex()
        self._signer = KeySigner((folder / "key.pem").read_bytes(), "a test")
        self._folder = folder
        self.last = folder / "checkpoint.txt"

    def turn(self) -> None:
        with connect() as connection:
            seal_all(connection)
            self.last.write_text(sign_checkpoint(connection, self._signer).text, encoding="ascii")

    def hand_over(self) -> None:
        """The last checkpoint of this key, which names another; that one signs from then on. `public` stays the first one."""
        file = self._folder / "next-key.pem"
        public = make_key(file)
        with connect() as connection:
            seal_all(connection)
            sign_checkpoint(connection, self._signer, new_key=public)
        self._signer = KeySigner(file.read_bytes(), "a test")


def pack_of(case: Case, into: Path, user: User) -> Path:
    with into.open("xb") as file:
        write_evidence(case, file, acting_user=user)
    return into


def check(pack: Path, *arguments: str) -> "subprocess.CompletedProcess[str]":
    """What a stranger's Python, without anything of ours, says of a pack."""
    return subprocess.run(
        [sys.executable, "-I", str(VERIFIER), str(pack), *arguments],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


def taken_apart(pack: Path) -> Members:
    with zipfile.ZipFile(pack) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def put_together(members: Members, into: Path, *, with_manifest: bool = True) -> Path:
    """A pack of these members; its manifest made to fit, as whoever changes a pack would."""
    if with_manifest:
        manifest = json.loads(members["manifest.json"])
        manifest["files"] = {
            name: {"bytes": len(octets), "sha256": sha256(octets).hexdigest()}
            for name, octets in members.items()
            if name != "manifest.json"
        }
        members = members | {"manifest.json": json.dumps(manifest).encode()}
    with zipfile.ZipFile(into, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, octets in members.items():
            archive.writestr(name, octets)
    return into


def rows(members: Members, name: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in members[name].splitlines()]


def set_rows(members: Members, name: str, found: list[dict[str, Any]]) -> None:
    members[name] = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in found).encode()


def edited(name: str, edit: Callable[[list[dict[str, Any]]], Any]) -> Change:
    """A change of one member's rows."""

    def change(members: Members) -> None:
        found = rows(members, name)
        edit(found)
        set_rows(members, name, found)

    return change
