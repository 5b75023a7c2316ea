import os
import signal
import socket
import sys
import time
from typing import Any

from django.conf import settings
from django.core.management import call_command
from django.core.management.base import CommandParser

from audit.command_line import AmendsCommand
from audit.errors import Refused
from backoffice.embedded.process_file import ProcessFile
from backoffice.environment import embedded
from backoffice.supervisor import STOP_SECONDS, Child

_PORTS_TO_TRY = 50
_WEB_SECONDS = 30
_ENDING = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class Command(AmendsCommand):
    help = "Start what is embedded, do the job on the demo's incident, then serve pages and workers until Ctrl-C."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--no-serve", action="store_true", help="End after the demo.")
        parser.add_argument(
            "--workers", type=int, default=2, help="How many processes work at once (default 2)."
        )

    def answer(self, *, no_serve: bool, workers: int, **_: Any) -> dict[str, Any]:
        for number in _ENDING:
            signal.signal(number, signal.default_int_handler)  # all end in the same way as Ctrl-C
        settings.HOME.make_directories()
        supervise = Child(
            "supervisor",
            (sys.executable, "manage.py", "supervise", "--workers", str(workers)),
            settings.BASE_DIR,
            settings.HOME.logs / "workers.log",
        )
        ours = self._claim()
        try:
            call_command("services", "up", stdout=self.stderr)
            supervise.keep_alive()
            if no_serve:
                call_command("demo")
            else:
                self._serve(supervise)
        except KeyboardInterrupt:
            self.say("\nStopping …")
        finally:
            for number in _ENDING:
                signal.signal(number, signal.SIG_IGN)  # a second Ctrl-C would leave something running
            supervise.ask_to_stop()
            supervise.wait_stopped(time.monotonic() + STOP_SECONDS + 10)
            if ours:
                embedded().down()
            run_file().path.unlink(missing_ok=True)
        return {"stopped": True}

    def tell(self, _: dict[str, Any]) -> None:
        self.say("Stopped. What was done is kept; “make run” goes on from there.")

    def _claim(self) -> bool:
        """Whether what is embedded here is this run's to stop: unless somebody had started it by itself.

        What a run that was killed left going is taken over. Raises `Refused` where another run is at work.
        """
        with settings.HOME.locked("run.lock"):
            file = run_file()
            other = file.running()
            if other is not None:
                raise Refused(
                    f"Amends runs here already (process {other.pid}). AMENDS_HOME can name another home."
                )
            killed = file.path.exists()
            file.write()
        return killed or "running" not in embedded().status().values()

    def _serve(self, supervise: Child) -> None:
        """Serve, show the demo's job meanwhile, and go on until somebody ends it."""
        port = free_port(int(os.environ.get("PORT", "8000")))
        web = Child(
            "web",
            (
                *(sys.executable, "-m", "gunicorn", "backoffice.wsgi", "--bind", f"127.0.0.1:{port}"),
                *("--workers", "1", "--threads", "4", "--no-control-socket"),
            ),
            settings.BASE_DIR,
            settings.HOME.logs / "web.log",
        )
        try:
            web.keep_alive()
            call_command("demo")
            wait_until_serving(port, settings.HOME.logs / "web.log")
            self.say(
                f"\nAmends is at http://127.0.0.1:{port} · logs in {settings.HOME.logs} · Ctrl-C stops everything."
            )
            while True:
                web.keep_alive()
                supervise.keep_alive()
                time.sleep(1)
        finally:
            web.ask_to_stop()
            web.wait_stopped(time.monotonic() + 10)


def run_file() -> ProcessFile:
    """Where a run of this home says that it is at work."""
    return ProcessFile(settings.HOME.path / "run.process")


def free_port(wanted: int) -> int:
    """`wanted`, or the next port after it that nobody listens on. Raises `Refused`."""
    for port in range(wanted, wanted + _PORTS_TO_TRY):
        with socket.socket() as tried:
            tried.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                tried.bind(("127.0.0.1", port))
            except OSError:
                continue
            return port
    raise Refused(f"The ports {wanted} to {wanted + _PORTS_TO_TRY - 1} are all taken. PORT can name another.")


def wait_until_serving(port: int, log: Any) -> None:
    """Raises `Refused` where the web server does not listen after half a minute."""
    deadline = time.monotonic() + _WEB_SECONDS
    while time.monotonic() < deadline:
        with socket.socket() as tried:
            if tried.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.1)
    raise Refused(f"The web server did not start; {log} says why.")
