from argparse import ArgumentParser, ArgumentTypeError
from pathlib import Path
from typing import Any

from django.contrib.auth.models import User

from audit.command_line import AmendsCommand, moment
from audit.errors import Refused
from audit.events import registered_events
from audit.export import FORMATS, export_trail
from audit.models import AuditEntry
from audit.trail import SYSTEM_LABEL
from audit.trail_events import EXPORTED
from audit.trail_filter import TrailFilter

STDOUT = "-"


def thing(text: str) -> tuple[str, int]:
    """A model's label and a number, as in an entry: "remediation.plan 3"."""
    kind, _, number = text.rpartition(" ")
    if not (kind.count(".") == 1 and number.isascii() and number.isdigit()):
        raise ArgumentTypeError(f"“{text}” is no thing: write “remediation.plan 3”.")
    return kind.lower(), int(number)


class Command(AmendsCommand):
    help = "Write the trail, or a part of it, to a file: the oldest entries first. That it was taken along stands in the trail."
    changes_something = True

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument(
            "--format", choices=FORMATS, default="ndjson", help="NDJSON where nothing is said."
        )
        parser.add_argument(
            "--output", required=True, metavar="FILE", help="A file that is not there yet; - is stdout."
        )
        parser.add_argument(
            "--actor", metavar="USER", help=f"By this account; “{SYSTEM_LABEL}” is Amends itself."
        )
        parser.add_argument(
            "--event", default="", metavar="NAME", help="Of this kind, such as plan.approved."
        )
        parser.add_argument(
            "--about", type=thing, metavar="THING", help="About this thing, such as “remediation.plan 3”."
        )
        parser.add_argument(
            "--case", type=int, metavar="CASE", help="About this case, its plans, jobs and chunks."
        )
        parser.add_argument(
            "--from", dest="occurred_from", type=moment, metavar="TIME", help="At or after this time."
        )
        parser.add_argument(
            "--to", dest="occurred_before", type=moment, metavar="TIME", help="Before this time."
        )
        parser.add_argument("--reason", default="", metavar="TEXT", help="With this in the reason.")

    def answer(self, **options: Any) -> dict[str, Any]:
        wanted, form, user = self._filter(options), options["format"], options["acting_user"]
        if options["output"] == STDOUT:
            if self._as_json:
                self.usage("--json and the trail cannot both go to stdout: name a file with --output.")
            for block in export_trail(wanted, form, acting_user=user):
                self.stdout.write(block.decode(), ending="")
        else:
            _write(Path(options["output"]), wanted, form, user)
        ended = AuditEntry.objects.filter(event=EXPORTED.name, actor=options["acting_user"]).order_by(
            "-occurred_at", "-id"
        )[0]
        return {
            "file": options["output"],
            "entry": ended.pk,
            "rows": ended.data["rows"],
            "sha256": ended.data["sha256"],
        }

    def tell(self, answer: dict[str, Any]) -> None:
        self.say(
            f"{answer['rows']:,} entries to {answer['file']}, SHA-256 {answer['sha256']}. Entry {answer['entry']} of the trail tells of it."
        )

    def _filter(self, options: dict[str, Any]) -> TrailFilter:
        if options["event"] and options["event"] not in {event.name for event in registered_events()}:
            self.usage(f"There is no kind of event “{options['event']}”.")
        actor, by_amends = None, False
        if options["actor"]:
            person = User.objects.filter(username=options["actor"]).first()
            by_amends = person is None and options["actor"] == SYSTEM_LABEL
            if person is None and not by_amends:
                raise Refused(f"Nobody has an account named “{options['actor']}”.")
            actor = person.pk if person else None
        subject_type, subject_id = options["about"] or ("", None)
        return TrailFilter(
            actor=actor,
            by_amends=by_amends,
            event=options["event"],
            subject_type=subject_type,
            subject_id=subject_id,
            thread=("case", options["case"]) if options["case"] is not None else None,
            occurred_from=options["occurred_from"],
            occurred_before=options["occurred_before"],
            reason=options["reason"],
        )


def _write(file: Path, wanted: TrailFilter, form: str, user: User) -> None:
    try:
        with file.open("xb") as written:
            for block in export_trail(wanted, form, acting_user=user):
                written.write(block)
    except OSError as error:
        raise Refused(f"{file} cannot be written: {error.strerror}.") from error
