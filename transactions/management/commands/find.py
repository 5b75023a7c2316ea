"""`manage.py find`: how many transactions match, and how many of them a target release would change."""

from argparse import ArgumentParser
from typing import IO, Any, cast

from rich.console import Console
from rich.table import Table

from audit.command_line import AmendsCommand
from transactions.calculating import calculator_for
from transactions.command_line import add_selection_options, selection_from
from transactions.estimate import LARGEST_SAMPLE, SAMPLE_SIZE, Estimate, estimate
from transactions.finder import EXACT_TO, count
from transactions.money import format_amount

BAR = 40
MOST_HOURS = 72
"""Hours that are shown one by one to people; scripts always get hours."""


class Command(AmendsCommand):
    help = "Count the transactions that stand on matching calculations, by release and by hour; estimate what a target would change."

    def add_arguments(self, parser: ArgumentParser) -> None:
        add_selection_options(parser)
        parser.add_argument(
            "--target",
            metavar="VERSION",
            help="Estimate, from a random sample, what this version would change.",
        )
        parser.add_argument(
            "--sample", type=int, default=SAMPLE_SIZE, metavar="N", help="How many to sample."
        )
        parser.add_argument("--seed", type=int, metavar="N", help="Draw the same sample as an earlier run.")

    def answer(self, **options: Any) -> dict[str, Any]:
        if not 1 <= options["sample"] <= LARGEST_SAMPLE:
            self.usage(f"--sample must be from 1 to {LARGEST_SAMPLE:,}.")
        if options["seed"] is not None and not 0 <= options["seed"] < 2**63:
            self.usage("--seed must be a whole number from 0 up, of at most 63 bits.")
        selection = selection_from(options)
        if options["target"] is not None:
            calculator_for(selection.calculator, options["target"])  # refused before anything is counted
        counts = count(selection)
        estimated = None
        if options["target"] is not None:
            estimated = estimate(
                selection, options["target"], sample_size=options["sample"], seed=options["seed"]
            )
        return {
            "selection": selection.to_criteria(),
            "matched": counts.matched,
            "exact": counts.exact,
            "by_release": [
                {
                    "service": release.service,
                    "calculator": release.calculator,
                    "version": release.version,
                    "count": rows,
                }
                for release, rows in counts.by_release
            ],
            "by_hour": [{"hour": hour.isoformat(), "count": rows} for hour, rows in counts.by_hour],
            "estimate": None if estimated is None else estimate_as_json(estimated),
        }

    def tell(self, answer: dict[str, Any]) -> None:
        console = Console(file=cast("IO[str]", self.stdout))
        about = "" if answer["exact"] else "About "
        console.print(f"{about}[bold]{answer['matched']:,}[/bold] transactions match.")
        if not answer["exact"]:
            console.print(
                f"More than {EXACT_TO:,} match by more than service, release and window, so these numbers are from a random sample."
            )
        releases = Table("service", "calculator", "version", "transactions", box=None, pad_edge=False)
        for each in answer["by_release"]:
            releases.add_row(each["service"], each["calculator"], each["version"], f"{each['count']:,}")
        console.print(releases)
        _tell_hours(console, answer["by_hour"])
        if answer["estimate"] is not None:
            _tell_estimate(console, answer["estimate"])


def estimate_as_json(estimated: Estimate) -> dict[str, Any]:
    """An estimate for scripts: shares as numbers between 0 and 1, money as decimal texts."""
    share = estimated.share_wrong
    return {
        "target": estimated.target_version,
        "population": estimated.population,
        "sampled": estimated.sampled,
        "sampled_for_money": estimated.weighed,
        "seed": estimated.seed,
        "exact": estimated.exact,
        "wrong": estimated.wrong,
        "failed": estimated.failed,
        "confidence": 0.95,
        "share_wrong": {"estimate": share.estimate, "low": share.low, "high": share.high},
        "money": [
            {"currency": each.currency, "scale": each.scale}
            | {name: format_amount(getattr(each, name), each.scale) for name in ("estimate", "low", "high")}
            for each in estimated.money
        ],
    }


def _tell_hours(console: Console, hours: list[dict[str, Any]]) -> None:
    """A bar an hour, or a day where hours would run off the screen."""
    by_day = len(hours) > MOST_HOURS
    bars: dict[str, int] = {}
    for each in hours:
        label = each["hour"][:10] if by_day else each["hour"][:16].replace("T", " ")
        bars[label] = bars.get(label, 0) + each["count"]
    most = max(bars.values(), default=0)
    table = Table("day (UTC)" if by_day else "hour (UTC)", "transactions", "", box=None, pad_edge=False)
    for label, rows in bars.items():
        table.add_row(label, f"{rows:,}", "█" * max(1, rows * BAR // most))
    console.print(table)


def _tell_estimate(console: Console, estimated: dict[str, Any]) -> None:
    share = estimated["share_wrong"]
    how = "exactly" if estimated["exact"] else f"from a sample of {estimated['sampled']:,}, 95% sure"
    console.print(
        f"Against {estimated['target']}, {how}: [bold]{share['estimate']:.2%}[/bold] wrong"
        f" ({share['low']:.2%} to {share['high']:.2%})."
        f" Seed {estimated['seed']}."
    )
    if estimated["failed"]:
        console.print(
            f"[bold]{estimated['failed']:,} of {estimated['sampled']:,} cannot be calculated by {estimated['target']}[/bold]:"
            " they count as not wrong, and add no money."
        )
    table = Table("currency", "correction", "at least", "at most", box=None, pad_edge=False)
    for each in estimated["money"]:
        table.add_row(each["currency"], each["estimate"], each["low"], each["high"])
    console.print(table)
