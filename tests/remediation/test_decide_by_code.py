"""Deciding with a second factor: the page asks for a code and says so, and the trail says that it was one."""

from typing import Any

import pytest
from django.contrib.auth.models import User
from django.test import Client

from audit.models import AuditEntry
from remediation.models import Plan
from tests.conftest import UserFactory
from tests.one_time_code import code_of, with_second_factor
from tests.remediation.test_decide_page import decided, page, plan

pytestmark = pytest.mark.usefixtures("committed_db")
__all__ = ["plan"]


@pytest.fixture
def person(users: UserFactory) -> User:
    return users("approver", name="ben")


@pytest.fixture
def ben(person: User) -> Client:
    client = Client()
    client.force_login(person)
    return client


def test_who_has_a_second_factor_decides_by_its_code_and_not_by_the_password(
    plan: Plan, ben: Client, person: User
) -> None:
    assert 'name="password"' in page(ben, plan)
    secret, _codes = with_second_factor(person)
    shown = page(ben, plan)
    assert 'name="password"' not in shown
    assert shown.count('name="code"') == 2
    assert "Nothing was done: the code" in decided(ben, plan)  # the right password, and no code
    plan.refresh_from_db()
    assert plan.status == Plan.Status.READY
    assert "An engineer can apply it now." in decided(ben, plan, code=code_of(secret))
    assert AuditEntry.objects.get(event="plan.approved").data["confirmed_by"] == "code"


def test_a_recovery_code_rejects_too(plan: Plan, ben: Client, person: User) -> None:
    _secret, codes = with_second_factor(person)
    decided(ben, plan, "reject", code=codes[0], comment="Not so.")
    plan.refresh_from_db()
    assert plan.status == Plan.Status.REJECTED
    assert AuditEntry.objects.get(event="plan.rejected").data["confirmed_by"] == "recovery code"


def test_where_one_is_required_the_page_leads_to_setting_it_up(
    plan: Plan, ben: Client, person: User, settings: Any
) -> None:
    settings.AMENDS_SECOND_FACTOR = "required-to-decide"
    shown = page(ben, plan)
    assert "Here only who has a second factor decides" in shown
    assert 'class="button primary" href="/second_factor/"' in shown
    assert 'name="password"' not in shown
    assert ": has no second factor yet" in shown
    assert "Nothing was done: here only who has a second factor" in decided(ben, plan)
    plan.refresh_from_db()
    assert plan.status == Plan.Status.READY
    secret, _codes = with_second_factor(person)
    assert "has no second factor yet" not in page(ben, plan)
    assert "An engineer can apply it now." in decided(ben, plan, code=code_of(secret))
