from argparse import ArgumentParser
from typing import Any

from audit.command_line import AmendsCommand
from remediation.approval import approve, valid_approvals
from remediation.command_line import plan_numbered


class Command(AmendsCommand):
    help = "Approve exactly the rows that a plan's digest covers. Nobody approves a plan that they asked for themselves."
    changes_something = True

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("plan", type=int, metavar="PLAN")
        parser.add_argument("--digest", required=True, help="The digest that the preview showed.")
        parser.add_argument("--comment", default="")

    def answer(self, **options: Any) -> dict[str, Any]:
        plan = approve(
            plan_numbered(options["plan"]),
            options["digest"],
            acting_user=options["acting_user"],
            confirmed=options["confirmed"],
            comment=options["comment"],
        )
        return {
            "case": plan.case_id,
            "plan": plan.pk,
            "status": plan.status,
            "digest": bytes(plan.digest or b"").hex(),
            "approvals": valid_approvals(plan),
            "required_approvals": plan.required_approvals,
        }

    def tell(self, answer: dict[str, Any]) -> None:
        self.stdout.write(
            f"Plan {answer['plan']} is {answer['status']}: "
            f"{answer['approvals']} of {answer['required_approvals']} approvals of {answer['digest']}"
        )
        if answer["status"] == "approved":
            self.stdout.write(f"Next: manage.py apply {answer['plan']} --as …")
