from argparse import ArgumentParser
from typing import Any

from audit.command_line import AmendsCommand
from remediation.approval import reject
from remediation.command_line import plan_numbered


class Command(AmendsCommand):
    help = "Say no to a plan, and why. One no is enough."
    changes_something = True

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("plan", type=int, metavar="PLAN")
        parser.add_argument("--digest", required=True, help="The digest that the preview showed.")
        parser.add_argument(
            "--comment", required=True, help="Why; its requester needs to know what to change."
        )

    def answer(self, **options: Any) -> dict[str, Any]:
        plan = reject(
            plan_numbered(options["plan"]),
            options["digest"],
            acting_user=options["acting_user"],
            confirmed=options["confirmed"],
            comment=options["comment"],
        )
        return {"case": plan.case_id, "plan": plan.pk, "status": plan.status, "comment": options["comment"]}

    def tell(self, answer: dict[str, Any]) -> None:
        self.stdout.write(f"Plan {answer['plan']} is {answer['status']}. Nothing was changed by it.")
