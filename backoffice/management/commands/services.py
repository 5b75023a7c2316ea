from typing import Any

import kombu.exceptions
from django.core.management.base import CommandParser
from django.db import OperationalError, connection

from audit.command_line import AmendsCommand
from audit.errors import Refused
from audit.seal import SEALER_CONNECTION
from backoffice.celery import app
from backoffice.database import NotPreparable, prepare_database
from backoffice.embedded.binaries import NoBinaries
from backoffice.embedded.broker import BrokerFailed
from backoffice.embedded.home import UnsafeDirectory
from backoffice.embedded.postgres import PostgresFailed
from backoffice.embedded.service_user import NobodyToRunAs
from backoffice.environment import embedded, preparation_urls

_FAILURES = (NoBinaries, BrokerFailed, UnsafeDirectory, PostgresFailed, NobodyToRunAs, NotPreparable)


class Command(AmendsCommand):
    help = "Start, stop or look at the embedded PostgreSQL and Valkey or Redis. Where servers elsewhere are named, says so."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("action", choices=("up", "down", "status"))

    def answer(self, *, action: str, **_: Any) -> dict[str, Any]:
        try:
            if action == "up":
                return self._up()
            return dict(embedded().down()) if action == "down" else self._status()
        except _FAILURES as error:
            raise Refused(str(error)) from error

    def _up(self) -> dict[str, Any]:
        done: dict[str, Any] = dict(embedded().up())
        urls = preparation_urls()
        if urls is None:
            return done | {
                "prepared": False,
                "why": "DATABASE_OWNER_URL and DATABASE_SEALER_URL are not set: prepare_database was not run",
            }
        prepare_database(
            owner_url=urls.owner,
            application_url=urls.application,
            sealer_url=urls.sealer,
            admin_url=urls.admin,
        )
        return done | {"prepared": True}

    def _status(self) -> dict[str, Any]:
        sealer = "running" if sealer_connected() else "not running"
        return dict(embedded().status()) | {"sealer": sealer, "workers": workers_alive()}


def sealer_connected() -> bool:
    """Whether a sealer, on whatever host, is connected to the database; not where the database does not answer."""
    try:
        with connection.cursor() as cursor:
            cursor.execute(
                "SELECT 1 FROM pg_stat_activity WHERE application_name = %s AND datname = current_database()",
                [SEALER_CONNECTION],
            )
            return cursor.fetchone() is not None
    except OperationalError:
        return False


def workers_alive() -> int:
    """How many workers answer a ping within a second; 0 where the broker does not answer either."""
    try:
        return len(app.control.ping(timeout=1.0) or ())
    except kombu.exceptions.OperationalError:
        return 0
