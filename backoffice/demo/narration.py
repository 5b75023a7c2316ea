"""How the demo speaks: a few kinds of line, in a person's words."""

from collections.abc import Iterable, Sequence
from contextlib import AbstractContextManager
from typing import Protocol

from rich.console import Console
from rich.table import Table
from rich.text import Text

from audit.command_line import ProgressBar
from remediation.following import follow
from remediation.models import Job
from transactions.calculators import Step
from transactions.money import format_amount

_BARS = "▁▂▃▄▅▆▇█"


class ProgressFactory(Protocol):
    """Makes a progress bar, such as `AmendsCommand.progress`."""

    def __call__(self, description: str, total: int | None) -> AbstractContextManager[ProgressBar]: ...


class Narrator:
    """Tells the demo to a person on `console`; long work shows bars made by `progress`."""

    def __init__(self, console: Console, progress: ProgressFactory) -> None:
        self._console = console
        self.progress = progress

    def heading(self, text: str) -> None:
        """Begin a chapter."""
        self._console.print(Text(f"\n{text}", style="bold"), soft_wrap=True)

    def say(self, text: str) -> None:
        """One indented line."""
        self._console.print(Text(f"  {text}"), soft_wrap=True)

    def refused(self, who: str, why: str) -> None:
        """Somebody was refused something, and that is as it should be."""
        self._console.print(Text(f"  ✗ {who}: ", style="yellow").append(why, style="default"), soft_wrap=True)

    def done(self, text: str) -> None:
        """Something was done, and checked."""
        self._console.print(Text("  ✓ ", style="green").append(text, style="default"), soft_wrap=True)

    def command(self, text: str) -> None:
        """Something to type."""
        self._console.print(Text(f"    {text}", style="cyan"), soft_wrap=True)

    def people(self, rows: Iterable[tuple[str, str]]) -> None:
        """Names, and what each is for."""
        for name, what in rows:
            self.say(f"{name:<15} {what}")

    def table(self, titles: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
        """A small table; every column but the first holds numbers."""
        table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="dim")
        table.add_column("  " + titles[0])
        for title in titles[1:]:
            table.add_column(title, justify="right")
        for first, *others in rows:
            table.add_row(Text(f"  {first}"), *(Text(other) for other in others))
        self._console.print(table)

    def follow(self, job: Job, description: str) -> Job:
        """Wait for workers to end `job`, with its progress. Raises what `remediation.following.follow` raises."""
        with self.progress(f"  {description}", None) as bar:
            return follow(
                job, work_here=False, seen=lambda now: bar.reach(now.rows, total=now.rows_total or None)
            )

    def explanation(self, titles: Sequence[str], explained: Sequence[list[Step]], scale: int) -> None:
        """The steps of several releases for one transaction, beside each other, and what each total is."""
        names = list(dict.fromkeys(step.name for steps in explained for step in steps))
        by_name = [{step.name: step for step in steps} for steps in explained]
        rows = [
            [name, *(shown(steps[name].amount, scale) if name in steps else "" for steps in by_name)]
            for name in names
        ]
        rows.append(["Total", *(shown(sum(step.amount for step in steps), scale) for steps in explained)])
        self.table(["", *titles], rows)
        for title, steps in zip(titles, explained, strict=True):
            details = [f"{step.name}: {step.detail}" for step in steps if step.name == "Tax"]
            self.say(f"{title} · {'; '.join(details)}")


def shown(amount: int, scale: int) -> str:
    """An amount of smallest units for people, in currency units, with its thousands set apart: (-123456, 2) gives "-1,234.56"."""
    whole, point, fraction = format_amount(abs(amount), scale).partition(".")
    return f"{'-' if amount < 0 else ''}{int(whole):,}{point}{fraction}"


def bars(counts: Sequence[int]) -> str:
    """A row of bars, one a count; nothing where the count is 0."""
    highest = max(counts, default=0)
    return "".join(_BARS[count * (len(_BARS) - 1) // highest] if count else " " for count in counts)
