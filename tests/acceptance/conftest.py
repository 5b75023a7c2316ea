"""What every acceptance test stands on: a real database, people with passwords, and the sums of what everybody reads."""

import pytest
from django.contrib.auth.models import User

from tests.conftest import PASSWORD, UserFactory


@pytest.fixture(autouse=True)
def people(committed_db: None, monkeypatch: pytest.MonkeyPatch, users: UserFactory) -> dict[str, User]:
    """“ada”, an engineer, and “ben”, an approver, whose password every command finds in its environment."""
    monkeypatch.setenv("AMENDS_PASSWORD", PASSWORD)
    return {"ada": users("engineer", name="ada"), "ben": users("approver", name="ben")}
