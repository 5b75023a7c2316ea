import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import IO, Any, cast

from django.conf import settings
from django.core.management.base import CommandParser
from rich.console import Console

from audit.command_line import AmendsCommand
from audit.errors import Refused
from backoffice.demo.farewell import tell_what_now
from backoffice.demo.finding import tell_find
from backoffice.demo.generator import SEED
from backoffice.demo.landing import Size, foreign_data, land
from backoffice.demo.narration import Narrator
from backoffice.demo.people import make_people
from backoffice.demo.story import Story
from backoffice.embedded.lifecycle import supervisor_file
from backoffice.management.commands.run import run_file
from backoffice.supervisor import STOP_SECONDS, Child
from remediation.doorbell import workers_alive


class Command(AmendsCommand):
    help = (
        "Make up the demo's stores, transactions and people, and do the main job on its incident, with real workers. Safe to repeat: "
        "what is done stays done. Refused in production, and where there are transactions of your own."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--transactions", type=int, default=200_000, help="How many (default 200000).")
        parser.add_argument("--stores", type=int, default=20_000, help="At how many stores (default 20000).")
        parser.add_argument("--seed", type=int, default=SEED, help="Another one gives other transactions.")

    def answer(self, *, transactions: int, stores: int, seed: int, **_: Any) -> dict[str, Any]:
        if settings.PRODUCTION:
            raise Refused(
                "The demo makes up transactions and people: it does not run where AMENDS_ENV is production."
            )
        if transactions < 10_000 or stores < 100:
            self.usage("The story needs at least --transactions 10000 and --stores 100.")
        if foreign_data():
            raise Refused(
                "This database has transactions of your own, and the demo wants an empty one: set AMENDS_HOME to another folder."
            )
        begun = time.monotonic()
        out = sys.stderr if self._as_json else cast("IO[str]", self.stdout)
        narrator = Narrator(Console(file=out, highlight=False), self.progress)
        logins = make_people()
        story = Story(narrator, logins)
        done = story.told_before()
        if done is None:
            with workers():
                land(Size(transactions, stores, seed), narrator, acting_user=logins.user("engineer"))
                if not story.has_begun():
                    tell_find(narrator)
                done = story.run()
        elif story.open_plan_is_stale():
            with workers():
                done |= story.leave_open()
        tell_what_now(narrator, done, logins, seconds=time.monotonic() - begun)
        return done | {"people": list(logins.names)}

    def tell(self, answer: dict[str, Any]) -> None:
        """Told already, step by step."""


@contextmanager
def workers() -> Iterator[None]:
    """Real workers for as long as this lasts: those that are there or coming, else some of our own, stopped at the end."""
    if run_file().running() or supervisor_file(settings.HOME).running() or workers_alive():
        yield
        return
    settings.HOME.make_directories()
    supervise = Child(
        "supervisor",
        (sys.executable, "manage.py", "supervise"),
        settings.BASE_DIR,
        settings.HOME.logs / "workers.log",
    )
    supervise.keep_alive()
    try:
        yield
    finally:
        supervise.ask_to_stop()
        supervise.wait_stopped(time.monotonic() + STOP_SECONDS + 10)
