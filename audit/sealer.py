"""The sealer at work: a process of its own that seals, signs and publishes, and that nobody waits for.

Sealing waits for nothing outside of the database: signing and publishing have a thread and a connection of their own.
"""

import threading
from collections.abc import Callable
from typing import Any

import psycopg
import structlog
from django.conf import settings

from audit.checkpoint import NoCheckpoint
from audit.checkpointing import KeyNotHandedOver, Pace, sign_if_due
from audit.publishing import publish_due
from audit.seal import MOST_AT_ONCE, connect, seal_waiting, sealer_address
from audit.signing import KeyNotUsable, configured_signer

logger = structlog.get_logger(__name__)

SECONDS_BETWEEN = 2.0
SECONDS_AFTER_A_FAILURE = 30.0
"""Until a key that could not sign is asked again."""
_LONGEST_WAIT_SECONDS = 30.0
_LAST_WORDS_SECONDS = 5.0
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

    Raises `audit.signing.KeyNotUsable`, `audit.checkpointing.KeyNotHandedOver`, and whatever a signer of `AMENDS_AUDIT_SIGNER` does.
    """
    mine = connection.execute("SELECT pg_try_advisory_lock(%s, %s)", _PUBLISHING_LOCK).fetchone()
    if mine != (True,):
        return
    try:
        try:
            pace = Pace(settings.AMENDS_AUDIT_CHECKPOINT_SECONDS, settings.AMENDS_AUDIT_HEARTBEAT_SECONDS)
            sign_if_due(connection, configured_signer(), pace)
        finally:
            # What was signed before is published, whatever happened to the key.
            publish_due(connection, settings.AMENDS_AUDIT_PLACES)
    finally:
        if not connection.broken:  # the lock went with it
            connection.execute("SELECT pg_advisory_unlock(%s, %s)", _PUBLISHING_LOCK)


class Sealer:
    """Seals every two seconds until `stop`, which a signal handler calls. What fails is logged, and tried again."""

    def __init__(self) -> None:
        self._stopping = threading.Event()
        self._sealed = 0

    def stop(self) -> None:
        self._stopping.set()

    def run(self) -> int:
        """How many entries were sealed in all. Raises `SealerNotConfigured`."""
        sealer_address()
        # A key service or a place may hang for ever, and then no stop waits for it.
        signing = threading.Thread(target=self._keep, args=(self._sign,), name="signing", daemon=True)
        signing.start()
        self._keep(self._seal)
        signing.join(_LAST_WORDS_SECONDS)
        return self._sealed

    def _keep(self, turn: Callable[["psycopg.Connection[Any]"], float]) -> None:
        """Take turns, each of which says how many seconds later the next is, over a connection that is made anew where it breaks."""
        wait = SECONDS_BETWEEN
        while not self._stopping.is_set():
            try:
                with connect() as connection:
                    while not self._stopping.is_set():
                        self._stopping.wait(turn(connection))
                        wait = SECONDS_BETWEEN
            except psycopg.Error as error:
                logger.warning("sealer.interrupted", error=str(error).strip(), again_in_seconds=wait)
                self._stopping.wait(wait)
                wait = min(wait * 2, _LONGEST_WAIT_SECONDS)

    def _seal(self, connection: "psycopg.Connection[Any]") -> float:
        sealed = seal_all(connection)
        self._sealed += sealed
        if sealed:
            logger.info("sealer.sealed", entries=sealed)
        return SECONDS_BETWEEN

    def _sign(self, connection: "psycopg.Connection[Any]") -> float:
        """Entries are sealed all the same where this fails; the integrity panel tells that no checkpoint comes."""
        try:
            sign_and_publish(connection)
        except (KeyNotUsable, KeyNotHandedOver, NoCheckpoint) as error:
            logger.error("sealer.no_checkpoint", why=str(error))
        except psycopg.Error:
            raise
        except Exception:  # a key service's client raises what it likes
            logger.exception("sealer.no_checkpoint")
        else:
            return SECONDS_BETWEEN
        return SECONDS_AFTER_A_FAILURE
