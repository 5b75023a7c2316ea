from argparse import ArgumentParser
from typing import Any

from remediation.answers import plan_answer
from remediation.command_line import plan_numbered
from remediation.models import Job
from remediation.plan_telling import PlanCommand
from remediation.retry import request_retry


class Command(PlanCommand):
    help = "Make the plan that tries a plan's failed and conflicting rows again. It needs approval and an apply of its own."
    changes_something = True

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("plan", type=int, metavar="PLAN")
        parser.add_argument(
            "--again", action="store_true", help="Make a new plan even where one is open already."
        )
        self.add_work_option(parser)

    def answer(self, **options: Any) -> dict[str, Any]:
        plan = request_retry(
            plan_numbered(options["plan"]), acting_user=options["acting_user"], again=options["again"]
        )
        self.followed(plan.jobs.get(kind=Job.Kind.PREVIEW), work_here=options["work"])
        plan.refresh_from_db()
        return plan_answer(plan)
