"""Who acts in most of the engine's tests."""

import pytest
from django.contrib.auth.models import User

from tests.conftest import UserFactory


@pytest.fixture
def engineer(users: UserFactory) -> User:
    return users("engineer")


@pytest.fixture
def approver(users: UserFactory) -> User:
    return users("approver")
