"""Publishing checkpoints where the database's owner cannot write: what is published shows every later change of what it covers.

A place is an address; its scheme says how: `file:///a/folder`, `https://a.server/checkpoints` (each is POSTed as text/plain), or
`mailto:auditor@example.com`. Other schemes are registered with `publish_by`. No place can hold up sealing, or another place.
"""

import os
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from smtplib import SMTPException
from typing import Any
from urllib.parse import SplitResult, unquote, urlsplit

import httpx
import psycopg
import structlog
from django.core.exceptions import ValidationError
from django.core.mail import BadHeaderError, EmailMessage
from django.core.validators import validate_email

from audit.checkpoint import SignedCheckpoint

logger = structlog.get_logger(__name__)

Publisher = Callable[[str, SignedCheckpoint], None]
"""Publishes a checkpoint at a place, given by its address. Raises `NotPublished`; done twice it must do no harm."""
WhyNot = Callable[[SplitResult], str]
"""Why an address of the scheme leads nowhere; "" where it may lead somewhere."""

RETRY_SECONDS = 30.0
"""A place that failed is left alone for so long; twice as long after each failure that follows, up to `LONGEST_RETRY_SECONDS`."""
LONGEST_RETRY_SECONDS = 900.0
"""Each attempt leaves a row: a place that is away for good is to leave a hundred a day, not thousands."""
MOST_AT_ONCE = 20
"""Checkpoints published at one place in one go: a place that comes back after a day holds up no seal."""
_SINCE = "clock_timestamp()"
"""SQL for now: a time by the database's clock, as those of the rows."""
ANSWER_SECONDS = 30.0
"""A place that has not answered by then failed, whatever it does."""
_TIMEOUT_SECONDS = 10.0


@dataclass(frozen=True)
class _Scheme:
    publisher: Publisher
    why_not: WhyNot


_schemes: dict[str, _Scheme] = {}
_unanswered: dict[str, threading.Thread] = {}


class NotPublished(Exception):
    """A place did not take a checkpoint. The message says why."""


class PlaceUnknown(ValueError):
    """No publisher is registered for an address's scheme, or the address leads nowhere."""


def publish_by(scheme: str, publisher: Publisher, why_not: WhyNot = lambda _: "") -> None:
    """Publish at addresses of that scheme by `publisher`, where `why_not` says nothing against one."""
    _schemes[scheme] = _Scheme(publisher, why_not)


def check_place(place: str) -> str:
    """`place`, if it can be published at. Raises `PlaceUnknown`."""
    _publisher_at(place)
    return place


def name_of(place: str) -> str:
    """What a place is called in rows, logs and alarms: its address without the password or token that it may carry.

    Those are read by all auditors, and can never be deleted.
    """
    try:
        parts = urlsplit(place)
    except ValueError:
        return f"{place.partition(':')[0]}:…"
    if not parts.netloc:
        return place[:500]
    return parts._replace(netloc=parts.netloc.rpartition("@")[2], query="", fragment="").geturl()[:500]


def _publisher_at(place: str) -> Publisher:
    try:
        parts = urlsplit(place)
    except ValueError as error:
        raise PlaceUnknown(f"“{name_of(place)}” is no address: {error}.") from error
    scheme = _schemes.get(parts.scheme)
    if scheme is None:
        raise PlaceUnknown(
            f"“{name_of(place)}” is no place to publish checkpoints at: its scheme must be one of {', '.join(sorted(_schemes))}."
        )
    if why_not := scheme.why_not(parts):
        raise PlaceUnknown(f"“{name_of(place)}” is no place to publish checkpoints at: {why_not}.")
    return scheme.publisher


def publish_due(connection: "psycopg.Connection[Any]", places: Sequence[str]) -> int:
    """Publish what each place lacks, oldest first, and record how it went, with the sealer's `connection`. How many went well.

    A place that is new gets the last checkpoint. One that failed is tried again later, and less and less often; it holds up no other.
    """
    return sum(_publish_at(connection, place) for place in places)


def _publish_at(connection: "psycopg.Connection[Any]", place: str) -> int:
    name, published = name_of(place), 0
    if _failed_just_now(connection, name):
        return 0
    for number, text in _lacking(connection, name):
        failure = _attempt(place, SignedCheckpoint.read(text))
        connection.execute(
            "INSERT INTO audit_checkpointpublication (checkpoint_id, place, failure) VALUES (%s, %s, %s)",
            (number, name, failure),
        )
        if failure:
            logger.error("checkpoint.not_published", checkpoint=number, place=name, why=failure)
            break
        published += 1
    return published


def _failed_just_now(connection: "psycopg.Connection[Any]", place: str) -> bool:
    row = connection.execute(
        f"""
        WITH latest AS (
            SELECT id, at FROM audit_checkpointpublication WHERE place = %(place)s ORDER BY id DESC LIMIT 1
        ), failures AS (
            -- The wait is at its longest after six.
            SELECT count(*) AS together FROM (
                SELECT FROM audit_checkpointpublication failed
                WHERE place = %(place)s AND failure <> '' AND id > coalesce(
                    (SELECT max(id) FROM audit_checkpointpublication WHERE place = %(place)s AND failure = ''), 0)
                LIMIT 6) AS since_it_went_well
        )
        SELECT together > 0 AND latest.at > {_SINCE} - make_interval(
            secs => least(%(shortest)s * power(2, together - 1), %(longest)s))
        FROM latest CROSS JOIN failures
        """,
        {"place": place, "shortest": RETRY_SECONDS, "longest": LONGEST_RETRY_SECONDS},
    ).fetchone()
    return row == (True,)


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
    try:
        publisher = _publisher_at(place)
    except PlaceUnknown as error:
        return str(error)
    before = _unanswered.get(place)
    if before is not None and before.is_alive():
        return "It has still not answered to an earlier attempt."
    failures: list[str] = []
    # In a thread, since nothing else ends a server that sends an octet now and then, or a folder on a network that is gone.
    attempt = threading.Thread(
        target=lambda: failures.append(_failure(publisher, place, checkpoint)), name="publishing", daemon=True
    )
    attempt.start()
    attempt.join(ANSWER_SECONDS)
    _unanswered[place] = attempt
    return failures[0] if failures else f"It did not answer within {ANSWER_SECONDS:.0f} seconds."


def _failure(publisher: Publisher, place: str, checkpoint: SignedCheckpoint) -> str:
    try:
        publisher(place, checkpoint)
    except NotPublished as error:
        return str(error)[:2000] or "It was refused without a reason."
    except Exception as error:
        logger.exception("checkpoint.publisher_broken", place=name_of(place))
        return f"Its publisher is broken ({type(error).__name__}); the sealer's log says how."
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
    except (httpx.HTTPError, httpx.InvalidURL) as error:
        raise NotPublished(f"{type(error).__name__}: {error}") from error
    if not answer.is_success:  # httpx's own message would repeat the address, a password in it too
        raise NotPublished(f"It answered {answer.status_code} {answer.reason_phrase}.")


def _to_mailbox(place: str, checkpoint: SignedCheckpoint) -> None:
    address = unquote(urlsplit(place).path)
    subject = f"Amends checkpoint {checkpoint.number} of trail {checkpoint.trail}"
    try:
        sent = EmailMessage(subject, checkpoint.text, to=[address]).send()
    except (SMTPException, OSError, BadHeaderError) as error:
        raise NotPublished(f"{type(error).__name__}: {error}") from error
    if not sent:
        raise NotPublished("The mail server was told of nobody to send it to.")


def _no_folder(parts: SplitResult) -> str:
    if parts.netloc not in ("", "localhost") or not parts.path.startswith("/"):
        return "a folder is named by its whole path, with three slashes: file:///a/folder"
    return ""


def _no_server(parts: SplitResult) -> str:
    return "" if parts.hostname else "it names no server"


def _no_mailbox(parts: SplitResult) -> str:
    try:
        validate_email(unquote(parts.path))
    except ValidationError:
        return "it names no mailbox"
    return ""


publish_by("file", _to_folder, _no_folder)
publish_by("https", _to_server, _no_server)
publish_by("http", _to_server, _no_server)
publish_by("mailto", _to_mailbox, _no_mailbox)
