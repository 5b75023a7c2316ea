"""The sealer at work: a process of its own that seals, signs and publishes, and that nobody waits for."""

import threading
from typing import Any

import psycopg
import structlog
from django.conf import settings

from audit.checkpoint import NoCheckpoint
from audit.checkpointing import KeyNotHandedOver, Pace, sign_if_due
from audit.publishing import publish_due
from audit.seal import MOST_AT_ONCE, SealerNotConfigured, connect, seal_waiting
from audit.signing import KeyNotUsable, configured_signer

logger = structlog.get_logger(__name__)

SECONDS_BETWEEN = 2.0
_LONGEST_WAIT_SECONDS = 30.0
_PUBLISHING_LOCK = (7104, 1)


def seal_all(connection: "psycopg.Connection[Any]") -> int:
    """Seal whatever waits, in transactions of at most `audit.seal.MOST_AT_ONCE` entries. How many; another sealer's are not counted."""
    sealed = 0
    while (count := seal_waiting(connection)) is not None:
        sealed += count
        if count < MOST_AT_ONCE:
            break
    return sealed


def sign_and_publish(connection: "psycopg.Connection[Any]") -> None:
    """Sign a checkpoint where one is due, and publish what places lack. One process at a time: another's turn is left to it.

    Raises `audit.signing.KeyNotUsable`, `audit.checkpointing.KeyNotHandedOver`.
    """
    mine = connection.execute("SELECT pg_try_advisory_lock(%s, %s)", _PUBLISHING_LOCK).fetchone()
    if mine != (True,):
        return
    try:
        pace = Pace(settings.AMENDS_AUDIT_CHECKPOINT_SECONDS, settings.AMENDS_AUDIT_HEARTBEAT_SECONDS)
        sign_if_due(connection, configured_signer(), pace)
    finally:
        # What was signed before is published, whatever happened to the key.
        publish_due(connection, settings.AMENDS_AUDIT_PLACES)
        connection.execute("SELECT pg_advisory_unlock(%s, %s)", _PUBLISHING_LOCK)


class Sealer:
    """Seals every two seconds until `stop`, which a signal handler calls. What fails is logged, and tried again."""

    def __init__(self) -> None:
        self._stopping = threading.Event()

    def stop(self) -> None:
        self._stopping.set()

    def run(self) -> int:
        """How many entries were sealed in all. Raises `SealerNotConfigured`."""
        sealed, wait = 0, SECONDS_BETWEEN
        while not self._stopping.is_set():
            try:
                with connect() as connection:
                    wait = SECONDS_BETWEEN
                    while not self._stopping.is_set():
                        sealed += self._turn(connection)
                        self._stopping.wait(SECONDS_BETWEEN)
            except SealerNotConfigured:
                raise
            except psycopg.Error as error:
                logger.warning("sealer.interrupted", error=str(error).strip(), again_in_seconds=wait)
                self._stopping.wait(wait)
                wait = min(wait * 2, _LONGEST_WAIT_SECONDS)
        return sealed

    def _turn(self, connection: "psycopg.Connection[Any]") -> int:
        sealed = seal_all(connection)
        if sealed:
            logger.info("sealer.sealed", entries=sealed)
        try:
            sign_and_publish(connection)
        except (KeyNotUsable, KeyNotHandedOver, NoCheckpoint) as error:
            # Entries are sealed all the same; the integrity panel tells that no checkpoint comes.
            logger.error("sealer.no_checkpoint", why=str(error))
        return sealed
