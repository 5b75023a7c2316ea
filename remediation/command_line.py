"""What the job's commands share: naming plans and cases, following a job with a bar, and saying money and tables to people."""

from argparse import ArgumentParser
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from typing import Any

from rich.console import Console
from rich.table import Table

from audit.command_line import AmendsCommand
from audit.errors import Refused
from remediation.following import follow
from remediation.models import Case, Job, Plan
from remediation.progress import JobProgress

_WIDTH_WITHOUT_TERMINAL = 110


class Unknown(Refused):
    """There is no plan, job or case of that number."""


class StoppedWatching(Refused):
    """Somebody pressed Ctrl-C while a job was followed."""


class JobCommand(AmendsCommand):
    """A command that asks for a job, and stays until it has ended."""

    def add_work_option(self, parser: ArgumentParser) -> None:
        """Give `parser` the option --work, for `followed`."""
        parser.add_argument(
            "--work",
            action="store_true",
            help="Let this process work on the job too, beside the workers if there are any.",
        )

    def followed(self, job: Job, *, work_here: bool) -> Job:
        """`job`, once it has finished, with a bar meanwhile. Raises what `follow` raises, and `StoppedWatching`."""
        if job.status == Job.Status.FINISHED:
            return job
        with self.progress(f"{job.get_kind_display().capitalize()}, job {job.pk}", None) as bar:

            def seen(progress: JobProgress) -> None:
                bar.reach(progress.rows, total=progress.rows if progress.ended else progress.rows_total)

            try:
                return follow(job, work_here=work_here, seen=seen)
            except KeyboardInterrupt:
                raise StoppedWatching(
                    f"You stopped watching {job}. It is not stopped: workers go on with it, and the same command follows it again."
                ) from None

    def tell_table(self, title: str, columns: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
        """Say rows to a person as a table on stdout; nothing where there is none. Columns that begin with ">" are numbers."""
        table = Table(title=title, title_justify="left", title_style="bold", show_edge=False)
        for column in columns:
            table.add_column(
                column.lstrip(">"), justify="right" if column.startswith(">") else "left", overflow="fold"
            )
        for row in rows:
            table.add_row(*(_said(cell) for cell in row))
        if table.row_count:
            console = Console(file=self.stdout, markup=False, highlight=False)  # type: ignore[arg-type]
            if not console.is_terminal:
                console.width = _WIDTH_WITHOUT_TERMINAL
            self.stdout.write("")
            console.print(table)


def plan_numbered(number: int) -> Plan:
    """The plan of that number. Raises `Unknown`."""
    plan = Plan.objects.select_related("case").filter(pk=number).first()
    if plan is None:
        raise Unknown(f"There is no plan {number}. “manage.py show CASE” lists a case's plans.")
    return plan


def job_numbered(number: int) -> Job:
    """The job of that number. Raises `Unknown`."""
    job = Job.objects.select_related("case", "plan").filter(pk=number).first()
    if job is None:
        raise Unknown(f"There is no job {number}. “manage.py show CASE” lists a case's jobs.")
    return job


def case_numbered(number: int) -> Case:
    """The case of that number. Raises `Unknown`."""
    case = Case.objects.filter(pk=number).first()
    if case is None:
        known = ", ".join(str(pk) for pk in Case.objects.order_by("-pk").values_list("pk", flat=True)[:10])
        raise Unknown(f"There is no case {number}. The newest are: {known or 'none yet'}.")
    return case


def money_in_words(amounts: list[dict[str, Any]], *, signed: bool = False) -> str:
    """Amounts of an answer for people: "1,234.50 USD, -12 JPY"; with `signed`, a plus where something is added."""
    return (
        ", ".join(_amount_in_words(each["amount"], signed) + f" {each['currency']}" for each in amounts)
        or "nothing"
    )


def _amount_in_words(amount: str, signed: bool) -> str:
    whole, point, fraction = amount.partition(".")
    minus = "-" if whole.startswith("-") else "+" if signed and amount.strip("0.") else ""
    return f"{minus}{int(whole.lstrip('-')):,}{point}{fraction}"


def time_in_words(iso: str) -> str:
    """A time of an answer for people, in UTC and to the minute."""
    return f"{datetime.fromisoformat(iso).astimezone(UTC):%Y-%m-%d %H:%M} UTC"


def rows_in_words(count: int, noun: str = "transaction") -> str:
    """A count for people: "1 transaction", "36,095 transactions"."""
    return f"{count:,} {noun}" if count == 1 else f"{count:,} {noun}s"


def _said(cell: object) -> str:
    if cell is None:
        return "-"
    return f"{cell:,}" if isinstance(cell, int) and not isinstance(cell, bool) else str(cell)
