"""`manage.py audit verify`: for auditors and scripts."""

from argparse import SUPPRESS, ArgumentTypeError
from pathlib import Path
from typing import Any

from django.core.management.base import CommandError, CommandParser
from django.db import OperationalError

from audit.checkpoint import NoCheckpoint, SignedCheckpoint, read_public_key
from audit.command_line import AmendsCommand, ProgressBar
from audit.verification import AlreadyVerifying, Verification, verify_everything

TAMPERED, INCOMPLETE = 1, 3
EXIT_CODES = {"ok": 0, "tampered": TAMPERED, "incomplete": INCOMPLETE}
TOLD = 50
"""Findings that a person is told; --json has more."""


def add_arguments(parser: CommandParser) -> None:
    parser.add_argument(
        "--since",
        type=checkpoint_file,
        metavar="CHECKPOINT_FILE",
        help="Look only at what was sealed after this checkpoint, and at what that covers.",
    )
    parser.add_argument(
        "--checkpoint",
        type=checkpoint_file,
        action="append",
        default=[],
        dest="checkpoints",
        metavar="FILE",
        help="A checkpoint that was kept outside of the database: everything is held against it. May be given several times.",
    )
    parser.add_argument(
        "--key",
        type=public_key,
        action="append",
        default=[],
        dest="keys",
        metavar="PUBLIC_KEY",
        help="A public key that you trust (64 hexadecimal digits, or a file with them). May be given several times.",
    )
    # Of the subcommand too, so that it may stand where people write it; without a default, which would undo the one before it.
    parser.add_argument(
        "--json",
        action="store_true",
        dest="as_json",
        default=SUPPRESS,
        help="Print one JSON object, for scripts.",
    )
    parser.add_argument(
        "--connections",
        type=int,
        default=2,
        choices=range(1, 17),
        metavar="N",
        help="Connections at work at a time.",
    )


def answer(command: AmendsCommand, options: dict[str, Any]) -> Verification:
    """Verify, with progress on stderr. Ends with exit code 3 where the database cannot be reached."""
    try:
        with command.progress("Verifying", None) as bar:
            return verify_everything(
                since=options["since"],
                checkpoints=options["checkpoints"],
                keys=options["keys"],
                connections=options["connections"],
                progress=_shown_on(bar),
            )
    except AlreadyVerifying as error:
        command.usage(str(error))
    except OperationalError as error:
        raise CommandError(
            f"The database cannot be reached: {str(error).strip()}", returncode=INCOMPLETE
        ) from error


def _shown_on(bar: ProgressBar) -> Any:
    def show(check: str, rows: int) -> None:
        bar.describe(f"Verifying {check}")
        bar.advance(rows)

    return show


def as_json(verification: Verification) -> dict[str, Any]:
    return {
        "result": verification.result,
        "since": verification.since,
        "sequence": verification.sequence,
        "checkpoints": verification.checkpoints,
        "rows": verification.rows,
        "tampered": verification.tampered,
        "incomplete": verification.incomplete,
        "findings": [
            {"kind": each.kind, "check": each.check, "subject": each.subject, "problem": each.problem}
            for each in verification.findings
        ],
        "seconds": round(verification.seconds),
    }


def tell(command: AmendsCommand, answer: dict[str, Any]) -> None:
    """Say what was found to a person."""
    write = command.stdout.write
    for finding in answer["findings"][:TOLD]:
        write(f"{finding['kind'].upper()} [{finding['check']}] {finding['subject']}: {finding['problem']}")
    if len(answer["findings"]) > TOLD:
        write(f"… and more: {answer['tampered'] + answer['incomplete']} findings in all.")
    rows = sum(answer["rows"].values())
    span = (
        f"seals {answer['since'] + 1} to {answer['sequence']}"
        if answer["since"]
        else f"{answer['sequence']} seals"
    )
    write(f"Looked at {rows:,} rows and {span} in {answer['seconds']} s.")
    if not answer["checkpoints"]:
        write(
            "No checkpoint from outside was given: whoever owns the database could have made everything anew, seals and all. "
            "Give one with --checkpoint."
        )
    write(
        {
            "ok": "Everything is as it was written.",
            "tampered": f"TAMPERED: {answer['tampered']} findings. docs/audit.md says what each means and what to do.",
            "incomplete": f"Nothing was found changed, yet {answer['incomplete']} things could not be looked at.",
        }[answer["result"]]
    )


def checkpoint_file(path: str) -> SignedCheckpoint:
    try:
        return SignedCheckpoint.read(Path(path).read_bytes().decode("ascii"))
    except (OSError, UnicodeDecodeError, NoCheckpoint) as error:
        raise ArgumentTypeError(f"{path}: {error}") from None


def public_key(text: str) -> bytes:
    try:
        return read_public_key(text)
    except (OSError, UnicodeDecodeError, ValueError) as error:
        raise ArgumentTypeError(str(error)) from None
