"""`manage.py import_transactions`: transactions and calculations from files."""

from argparse import ArgumentParser
from dataclasses import asdict
from itertools import chain, count
from pathlib import Path
from typing import Any

from audit.command_line import AmendsCommand
from transactions.importing import Import, import_files
from transactions.mapping import read_mapping


class Command(AmendsCommand):
    help = (
        "Import transactions and what services calculated for them, from CSV, NDJSON or Parquet, gzip or not."
    )
    changes_something = True

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("files", nargs="+", type=Path, metavar="FILE")
        parser.add_argument(
            "--mapping", type=Path, required=True, metavar="MAP.toml", help="How columns become transactions."
        )
        parser.add_argument(
            "--rejects",
            type=Path,
            metavar="FILE",
            help="Where rejected rows go; else beside you, as NAME.rejects.csv.",
        )

    def answer(self, **options: Any) -> dict[str, Any]:
        mapping = read_mapping(options["mapping"])
        rejects = options["rejects"] or _beside_you(options["files"][0], mapping.format)
        wanted = Import(options["files"], mapping, rejects)
        with self.progress("Reading", None) as bar:

            def progress(doing: str, done: int, total: int) -> None:
                bar.describe(doing)
                bar.reach(done, total=total or None)

            result = import_files(wanted, acting_user=options["acting_user"], progress=progress)
        if result.rejected:
            self.say(
                f"{result.rejected:,} transactions were rejected. Mend {result.rejects} and import that file."
            )
        return asdict(result) | {
            "source": mapping.name,
            "rejects": None if result.rejects is None else str(result.rejects),
        }

    def tell(self, answer: dict[str, Any]) -> None:
        if not answer["imported"] and not answer["rejected"]:
            self.stdout.write(
                f"Nothing new: all {answer['unchanged']:,} transactions are known, and nothing was changed."
            )
            return
        self.stdout.write(
            f"{answer['imported']:,} transactions imported, {answer['unchanged']:,} unchanged, {answer['rejected']:,} rejected,"
            f" from {answer['rows']:,} rows in {answer['seconds']:.1f} s."
        )
        if answer["recalculated"]:
            self.stdout.write(
                f"{answer['recalculated']:,} of them are later calculations of known transactions;"
                f" {answer['superseding_corrections']:,} supersede a correction."
            )
        if answer["ambiguous_times"]:
            self.stdout.write(
                f"{answer['ambiguous_times']:,} local times exist twice and were taken as the first."
            )
        for each in answer["rejections"]:
            where = f"{each['file']}, line {each['line']}" + (f", {each['column']}" if each["column"] else "")
            self.stdout.write(f"  {where}: {each['reason']}")
        if answer["rejected"] > len(answer["rejections"]):
            self.stdout.write(
                f"  … and {answer['rejected'] - len(answer['rejections']):,} more in {answer['rejects']}."
            )


def _beside_you(file: Path, written_as: str) -> Path:
    """A new file in the current folder: one that is there already may be half mended."""
    ending = "ndjson" if written_as == "ndjson" else "csv"
    stem = file.name.removesuffix(".gz").rsplit(".", 1)[0].removesuffix(".rejects")
    names = (f"{stem}.rejects{number}.{ending}" for number in chain(("",), (f"-{n}" for n in count(2))))
    return next(path for path in map(Path, names) if not path.exists())
