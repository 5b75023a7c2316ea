"""Every page that anybody can get to by following links, on a wide and a narrow screen, in light and dark.

It fits, has one heading, axe finds nothing, and the browser complains of nothing. The pages are found by following the links of each role,
so that a new one is looked at without being listed here.
"""

from collections import Counter

import pytest
from django.test import Client
from playwright.sync_api import expect

from backoffice.roles import ROLES
from tests.browser.conftest import ReaderFactory
from tests.browser.incident_on_pages import incident
from tests.browser.looking import SCREENS, picture, too_wide, wrong_on_screens, wrong_with
from tests.conftest import UserFactory
from tests.reachable_pages import ReachablePages, reachable_pages

WIDE_AND_NARROW = pytest.mark.parametrize(("width", "color_scheme"), SCREENS)
PEOPLE = {"engineer": "ana", "approver": "cleo"}
"""Who looks, where it matters: “ana” asked for the plans, “cleo” has decided on none."""
IN_TURN = ("engineer", "approver", "administrator", "auditor", "support")
"""Whoever acts comes first: their pages have the most on them."""
ACTED_ON = frozenset(
    {"admin:index"} | {f"admin:remediation_{name}_change" for name in ("case", "plan", "job")}
)
# Plans look different in each state.
MORE_OF = {"admin:remediation_plan_change": 6, "admin:remediation_job_change": 4}


def as_seen_by(role: str, users: UserFactory) -> ReachablePages:
    client = Client()
    client.force_login(users(role, name=PEOPLE.get(role, "")))
    return reachable_pages(client, each_view=1, more_of=MORE_OF)


@pytest.mark.timeout(900)  # some sixty pages
def test_every_page_fits_axe_finds_nothing_and_no_link_leads_to_what_is_not_there_or_not_permitted(
    signed_in: ReaderFactory, users: UserFactory
) -> None:
    incident(users)
    wrong, known, broken = list[str](), set[str](), dict[str, dict[str, int]]()
    assert set(IN_TURN) == set(ROLES)
    for role in IN_TURN:
        reader = signed_in(role, name=PEOPLE.get(role, ""))
        found = as_seen_by(role, users)
        broken |= {role: found.broken} if found.broken else {}
        looked_at = Counter[str]()
        for view, address in found:
            # Who acts sees buttons that others do not; a page that looks the same for all is looked at once, and a list that is filtered
            # in a dozen ways in two of them.
            once = view in known and not (view == "admin:index" or (role in PEOPLE and view in ACTED_ON))
            if once or looked_at[view] == MORE_OF.get(view, 2):
                continue
            looked_at[view] += 1
            heard = len(reader.complaints)
            wrong += wrong_on_screens(reader.open(address), f"{role} {address}")
            del reader.complaints[heard:]  # what axe tries with password fields, the page's policy forbids
        known |= looked_at.keys()
    assert wrong == []
    assert broken == {}
    assert len(known) > 30


@WIDE_AND_NARROW
def test_signing_in_and_what_is_not_there_fit_too(
    signed_in: ReaderFactory, width: int, color_scheme: str
) -> None:
    screen = f"{width} {color_scheme}"
    reader = signed_in("support", width=width, color_scheme=color_scheme)
    page = reader.page
    for name, path, heading in (
        ("not there", "/remediation/plan/999999/", "There is no such page"),
        ("not permitted", "/auth/user/", "You may not see this"),
    ):
        page.goto(f"{reader.address}{path}")
        expect(page.get_by_role("heading", level=1)).to_have_text(heading)
        assert wrong_with(page, name, screen) == []
    # The browser itself notes in its console that a page was not found, or forbidden.
    assert all("Failed to load resource" in complaint for complaint in reader.complaints)
    reader.complaints.clear()
    reader.open("/")
    page.get_by_role("button", name="Log out").click()
    reader.open("/login/")
    assert too_wide(page) == []
    picture(page, f"login {screen}")
