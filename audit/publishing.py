"""Publishing checkpoints where the database's owner cannot write: what is published shows every later change of what it covers.

A place is an address; its scheme says how: `file:///a/folder`, `https://a.server/checkpoints` (each is POSTed as text/plain), or
`mailto:auditor@example.com`. Other schemes are registered with `publish_by`.
"""

import os
from collections.abc import Callable, Sequence
from pathlib import Path
from smtplib import SMTPException
from typing import Any
from urllib.parse import unquote, urlsplit

import httpx
import psycopg
import structlog
from django.core.mail import EmailMessage

from audit.checkpoint import SignedCheckpoint

logger = structlog.get_logger(__name__)

Publisher = Callable[[str, SignedCheckpoint], None]
"""Publishes a checkpoint at a place, given by its address. Raises `NotPublished`; done twice it must do no harm."""

RETRY_SECONDS = 30.0
"""A place that failed is left alone for so long."""
MOST_AT_ONCE = 20
"""Checkpoints published at one place in one go: a place that comes back after a day holds up no seal."""
_TIMEOUT_SECONDS = 10.0

_publishers: dict[str, Publisher] = {}


class NotPublished(Exception):
    """A place did not take a checkpoint. The message says why."""


class PlaceUnknown(ValueError):
    """No publisher is registered for an address's scheme."""


def publish_by(scheme: str, publisher: Publisher) -> None:
    """Publish at addresses of that scheme by `publisher`."""
    _publishers[scheme] = publisher


def check_place(place: str) -> str:
    """`place`, if it can be published at. Raises `PlaceUnknown`."""
    scheme = urlsplit(place).scheme
    if scheme not in _publishers:
        raise PlaceUnknown(
            f"“{place}” is no place to publish checkpoints at: its scheme must be one of {', '.join(sorted(_publishers))}."
        )
    return place


def publish_due(connection: "psycopg.Connection[Any]", places: Sequence[str]) -> int:
    """Publish what each place lacks, oldest first, and record how it went, with the sealer's `connection`. How many went well.

    A place that is new gets the last checkpoint. One that failed is tried again after `RETRY_SECONDS`; it holds up no other.
    """
    return sum(_publish_at(connection, place) for place in places)


def _publish_at(connection: "psycopg.Connection[Any]", place: str) -> int:
    if _failed_just_now(connection, place):
        return 0
    published = 0
    for number, text in _lacking(connection, place):
        failure = _attempt(place, SignedCheckpoint.read(text))
        connection.execute(
            "INSERT INTO audit_checkpointpublication (checkpoint_id, place, failure) VALUES (%s, %s, %s)",
            (number, place, failure),
        )
        if failure:
            logger.error("checkpoint.not_published", checkpoint=number, place=place, why=failure)
            break
        published += 1
    return published


def _failed_just_now(connection: "psycopg.Connection[Any]", place: str) -> bool:
    last = connection.execute(
        "SELECT failure <> '' AND at > clock_timestamp() - make_interval(secs => %s) FROM audit_checkpointpublication"
        " WHERE place = %s ORDER BY id DESC LIMIT 1",
        (RETRY_SECONDS, place),
    ).fetchone()
    return last == (True,)


def _lacking(connection: "psycopg.Connection[Any]", place: str) -> list[tuple[int, str]]:
    return connection.execute(
        """
        SELECT number, text FROM audit_checkpoint
        WHERE number > coalesce(
            (SELECT max(checkpoint_id) FROM audit_checkpointpublication WHERE place = %(place)s AND failure = ''),
            (SELECT max(number) - 1 FROM audit_checkpoint))
        ORDER BY number LIMIT %(most)s
        """,
        {"place": place, "most": MOST_AT_ONCE},
    ).fetchall()


def _attempt(place: str, checkpoint: SignedCheckpoint) -> str:
    """Why it could not be published; "" where it was."""
    publisher = _publishers.get(urlsplit(place).scheme)
    if publisher is None:
        return f"Nobody publishes at addresses such as “{place}”."
    try:
        publisher(place, checkpoint)
    except NotPublished as error:
        return str(error)[:2000] or "It was refused without a reason."
    return ""


def _to_folder(place: str, checkpoint: SignedCheckpoint) -> None:
    """A file of its own for each checkpoint, never overwritten."""
    folder = Path(unquote(urlsplit(place).path))
    file = folder / f"checkpoint-{checkpoint.number:012}.txt"
    unfinished = folder / f".{file.name}.{os.getpid()}"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        unfinished.write_text(checkpoint.text, encoding="ascii")
        try:
            os.link(unfinished, file)
        except FileExistsError:
            if file.read_text(encoding="ascii") != checkpoint.text:
                raise NotPublished(f"{file} says otherwise already. An auditor should look at it.") from None
        finally:
            unfinished.unlink()
    except (OSError, UnicodeError) as error:
        raise NotPublished(f"{file} could not be written: {error}") from error


def _to_server(place: str, checkpoint: SignedCheckpoint) -> None:
    try:
        answer = httpx.post(
            place,
            content=checkpoint.text,
            headers={"content-type": "text/plain; charset=utf-8", "idempotency-key": checkpoint.digest.hex()},
            timeout=_TIMEOUT_SECONDS,
        )
        answer.raise_for_status()
    except (httpx.HTTPError, httpx.InvalidURL) as error:
        raise NotPublished(f"{type(error).__name__}: {error}") from error


def _to_mailbox(place: str, checkpoint: SignedCheckpoint) -> None:
    address = unquote(urlsplit(place).path)
    subject = f"Amends checkpoint {checkpoint.number} of trail {checkpoint.trail}"
    try:
        EmailMessage(subject, checkpoint.text, to=[address]).send()
    except (SMTPException, OSError) as error:
        raise NotPublished(f"{type(error).__name__}: {error}") from error


publish_by("file", _to_folder)
publish_by("https", _to_server)
publish_by("http", _to_server)
publish_by("mailto", _to_mailbox)
