import os
import signal
import socket
from typing import Any

from django.conf import settings
from django.core.management.base import CommandParser

from audit.command_line import AmendsCommand
from audit.errors import Refused
from backoffice.celery import app
from backoffice.embedded.lifecycle import supervisor_file
from backoffice.supervisor import Supervisor
from remediation.control import complete_stops
from remediation.doorbell import ring_waiting_jobs
from remediation.lease import recover_expired_leases
from remediation.standstill import waiting_since
from transactions.rollups import fold_counts


class Command(AmendsCommand):
    help = (
        "Keep a worker, beat and the sealer alive, recover expired leases, ring for waiting jobs and fold counts, "
        "until SIGTERM or Ctrl-C."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument(
            "--workers", type=int, default=2, help="How many processes work at once (default 2)."
        )

    def answer(self, *, workers: int, **_: Any) -> dict[str, Any]:
        if workers < 1:
            self.usage("--workers must be at least 1.")
        file = supervisor_file(settings.HOME)
        with settings.HOME.locked("supervisor.lock"):
            running = file.running()
            if running is not None:
                raise Refused(
                    f"A supervisor runs already (process {running.pid}). “manage.py services down” stops it."
                )
            file.write()
        supervisor = Supervisor(
            app,
            workers=workers,
            duties=(recover_expired_leases, complete_stops, ring_waiting_jobs, fold_counts),
            directory=settings.BASE_DIR,
            waiting_since=waiting_since,
            sealing=bool(settings.DATABASE_SEALER_URL),
            hostname=f"amends-{os.getpid()}@{socket.gethostname()}",
        )
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda *_: supervisor.stop())
        try:
            supervisor.run()
        finally:
            file.path.unlink(missing_ok=True)
        return {"stopped": True, "restarts": supervisor.restarts}
