from argparse import ArgumentParser
from typing import Any

from remediation.answers import plan_answer
from remediation.command_line import case_numbered, plan_numbered
from remediation.models import Job
from remediation.plan_telling import PlanCommand
from remediation.revert import request_revert


class Command(PlanCommand):
    help = "Make the plan that takes back what a case applied. It needs approval and an apply of its own, like any plan."
    changes_something = True

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("case", type=int, metavar="CASE")
        parser.add_argument("--reason", default="", help="Why it is taken back.")
        parser.add_argument(
            "--plan",
            type=int,
            metavar="PLAN",
            help="Take back this plan, a revert too; else the case's last applied one.",
        )
        parser.add_argument(
            "--again", action="store_true", help="Make a new plan even where one is open already."
        )
        self.add_work_option(parser)

    def answer(self, **options: Any) -> dict[str, Any]:
        plan = request_revert(
            case_numbered(options["case"]),
            acting_user=options["acting_user"],
            reason=options["reason"],
            plan=None if options["plan"] is None else plan_numbered(options["plan"]),
            again=options["again"],
        )
        self.followed(plan.jobs.get(kind=Job.Kind.PREVIEW), work_here=options["work"])
        plan.refresh_from_db()
        return plan_answer(plan)
