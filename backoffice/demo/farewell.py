"""The demo's last words: who can sign in, and what is left to do."""

from datetime import timedelta
from typing import Any

from backoffice.demo.generator import CALCULATOR, ROLLED_BACK, ROLLED_FORWARD
from backoffice.demo.narration import Narrator
from backoffice.demo.people import Logins
from backoffice.roles import MAY
from remediation.models import Plan


def tell_what_now(narrator: Narrator, done: dict[str, Any], logins: Logins, *, seconds: float) -> None:
    """Say how long it took, the logins, and how to work on the incident that is left open."""
    if done["new"]:
        narrator.done(f"All of that took {seconds:.1f} s.")
    else:
        narrator.heading("The demo was done before: nothing is changed")
    narrator.heading(f"Sign in · password of all five: {logins.password or 'as printed when they were made'}")
    narrator.people((name, str(may)) for name, may in MAY.items())
    narrator.heading("Left for you: another service went wrong a week later")
    narrator.command(
        f"{_MANAGE} find --calculator {CALCULATOR} --service invoicing --from {ROLLED_BACK:%Y-%m-%d}T00:00Z"
        f" --to {ROLLED_FORWARD + timedelta(days=1):%Y-%m-%d}T00:00Z --target 2.0.0"
    )
    narrator.command(f"{_MANAGE} show {done['open_case']}")
    if done["open_status"] != Plan.Status.READY:
        narrator.say(
            f"You have been there already: its plan {done['open_plan']} is {Plan.Status(done['open_status']).label}."
        )
        return
    narrator.say(
        f"The engineer has previewed it as case {done['open_case']}. Approve plan {done['open_plan']} in the pages, or here:"
    )
    narrator.command(f"export AMENDS_PASSWORD={logins.password or '…'}")
    narrator.command(f"{_MANAGE} approve {done['open_plan']} --digest {done['open_digest']} --as approver")
    narrator.command(f"{_MANAGE} apply {done['open_plan']} --as engineer")
    narrator.command(f"{_MANAGE} verify {done['open_case']} --as engineer")


_MANAGE = ".venv/bin/python manage.py"
