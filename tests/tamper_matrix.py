"""`python -m tests.tamper_matrix`: what was changed in each test of tampering, what finds it and where, as docs/tamper-matrix.md has it.

Made of the tests' own lists, so that nothing is told that no test tries.
"""

import os
import re
import sys
from pathlib import Path

import django
from django.apps import apps

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "tests.settings")
if not apps.ready:
    django.setup()

from tests.audit.test_verification import MOVED
from tests.audit.test_verification import TAMPERED as ROWS
from tests.audit.test_verification_of_edits import TAMPERED as EDITS
from tests.audit.test_verification_of_endings import TAMPERED as ENDINGS
from tests.audit.test_verification_of_seals import FOUND as SEALS
from tests.evidence.test_pack import TAMPERED as PACKS
from tests.evidence.test_pack_with_approvals import TAMPERED as APPROVALS
from tests.evidence.test_pack_with_exclusions import TAMPERED as EXCLUSIONS
from tests.evidence.test_second_verifier import OURS as TRICKS
from tests.remediation.test_audit_sample_verified import TAMPERED as SAMPLES

PAGE = Path(__file__).parent.parent / "docs" / "tamper-matrix.md"
_HEAD = """# What tampering shows, and where

Made by `python -m tests.tamper_matrix` from the tests' own lists: each line is a test that does the tampering and asserts what is
said of it. In the database it is done as the owner, triggers switched off; in a pack, with its manifest made to fit. N is a number.

| what was changed | by `audit verify` in the database |
|---|---|
"""
_PACKS = """
| what was changed in an evidence pack | by `verify.py`, and by the second verifier |
|---|---|
"""
_TRICKS = """| any bit of the file | the member that is not what the manifest says, or that it is no pack |

| what else was tried with an evidence pack: what is made to fit, doubled, empty or written otherwise | both verifiers say |
|---|---|
"""
_SAID = {
    "tampered": "tampered",
    "incomplete": "incomplete",
    "ok": "ok: it means nothing, or is not there to be proved by a pack",
}
_OUTSIDE = """
| what needs something from outside | without it | with it |
|---|---|---|
| the trail made anew from an edited entry on, with the key | everything agrees | a checkpoint that was kept: the chain is another |
| the same with another key | everything agrees | the public key that the auditor trusts, or a kept checkpoint |
| an older backup restored | everything agrees | a checkpoint that is newer than the backup: seals that it covers are gone |
| the last checkpoints cut off with their seals and entries | everything agrees | a kept checkpoint of later than the cut |
| two histories shown to two auditors (fork) | each agrees with itself | one's checkpoint held against the other's trail or pack |
| a pack in which everything was made anew | it agrees with itself | a key, or a checkpoint |

No false alarm: the tests verify after import, conflict, supersession, recalculation, retry, revert and reapply, and while a job and
imports are at work. Four million corrections of ten million transactions were verified and nothing was found
([performance.md](performance.md#the-trail)).
"""


def page() -> str:
    """The page's text."""
    database = [(what, named) for what, (_, named) in (SEALS | ROWS | EDITS | ENDINGS | SAMPLES).items()]
    database.append(MOVED)
    packs = [(what, place) for what, (_, place) in (PACKS | EXCLUSIONS | APPROVALS).items()]
    tricks = [(what, _SAID[verdict]) for what, (_, verdict) in TRICKS.items()]
    return _HEAD + _lines(database) + _PACKS + _lines(packs) + _TRICKS + _lines(tricks) + _OUTSIDE


def _lines(cases: list[tuple[str, str]]) -> str:
    return "".join(f"| {what} | {_readable(said)} |\n" for what, said in cases)


def _readable(pattern: str) -> str:
    """What a pattern matches, for people."""
    shown = re.sub(r"\\d\+|\[0-9a-f\]\{\d+\}", "N", pattern)
    shown = re.sub(r"\(\?:|\(\.\*\)|\.\*", "…", shown).replace("\\", "")
    return shown.replace("|", "\\|")


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
    sys.stdout.write(f"Written to {PAGE}\n")
