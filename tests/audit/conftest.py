"""A trail that can be sealed, signed and published, as most of these tests need it."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest
from pytest_django import Settings

from audit.seal import connect
from audit.signing import make_key


@pytest.fixture
def signing_key(settings: Settings, tmp_path: Path) -> None:
    """A key in a file, configured; nowhere to publish."""
    settings.AMENDS_AUDIT_SIGNER = settings.AMENDS_AUDIT_KEY = ""
    settings.AMENDS_AUDIT_KEY_FILE = str(tmp_path / "key.pem")
    make_key(tmp_path / "key.pem")
    settings.AMENDS_AUDIT_PLACES = []


@pytest.fixture
def sealer(
    committed_db: None, signing_key: None, settings: Settings, tmp_path: Path
) -> Iterator["psycopg.Connection[Any]"]:
    """The sealer's connection, with a key and a place."""
    settings.AMENDS_AUDIT_PLACES = [(tmp_path / "apart").as_uri()]
    with connect() as opened:
        yield opened
