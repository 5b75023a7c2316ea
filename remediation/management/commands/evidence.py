from argparse import ArgumentParser
from pathlib import Path
from typing import Any

from audit.command_line import AmendsCommand
from audit.errors import Refused
from remediation.command_line import case_numbered
from remediation.evidence.pack import write_evidence


class Command(AmendsCommand):
    help = "Write the evidence pack of a case: a ZIP that anybody can check with the verify.py in it. Who took it stands in the trail."
    changes_something = True

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("case", type=int, metavar="CASE")
        parser.add_argument(
            "--output", type=Path, required=True, metavar="FILE", help="A file that is not there yet."
        )

    def answer(self, **options: Any) -> dict[str, Any]:
        case, output = case_numbered(options["case"]), options["output"]
        unfinished = output.with_name(f"{output.name}.unfinished")
        if output.exists():
            raise Refused(f"{output} is there already. Nothing is overwritten: name another file.")
        try:
            with unfinished.open("xb") as file:
                packed = write_evidence(case, file, acting_user=options["acting_user"])
            unfinished.rename(output)
        except FileExistsError:
            raise Refused(
                f"{unfinished} is there: somebody else is writing it. Remove it if nobody is."
            ) from None
        except OSError as error:
            unfinished.unlink(missing_ok=True)
            raise Refused(f"{output} could not be written: {error.strerror}.") from error
        except BaseException:
            unfinished.unlink(missing_ok=True)
            raise
        return {
            "case": case.pk,
            "file": str(output),
            "bytes": output.stat().st_size,
            "corrections": packed.corrections,
            "entries": packed.entries,
            "manifest": packed.manifest,
        }
