from argparse import ArgumentParser
from typing import Any

from audit.errors import Refused
from remediation.answers import plan_answer
from remediation.case import open_case
from remediation.exclusion_options import add_exclusion_options, exclusions_from
from remediation.leave_out import leave_out
from remediation.models import Job, Plan
from remediation.plan_telling import PlanCommand
from remediation.preview import request_preview
from transactions.command_line import add_selection_options, selection_from


class PreviewFailed(Refused):
    """The plan did not come to a digest that anybody could approve."""


class Command(PlanCommand):
    help = "Preview what correcting a selection would change, as a case and a plan. Nothing that anybody reads changes."
    changes_something = True

    def add_arguments(self, parser: ArgumentParser) -> None:
        add_selection_options(parser)
        parser.add_argument(
            "--target", required=True, metavar="VERSION", help="The version that calculates rightly."
        )
        parser.add_argument("--reason", required=True, help="Why the amounts are to be corrected.")
        parser.add_argument(
            "--incident", default="", help="What happened, in a line; else the reason's first words."
        )
        parser.add_argument("--ticket", default="", help="Where it is tracked.")
        parser.add_argument(
            "--again",
            action="store_true",
            help="Make a new plan even where one is open; the open one can then not be applied.",
        )
        add_exclusion_options(parser)
        self.add_work_option(parser)

    def answer(self, **options: Any) -> dict[str, Any]:
        user = options["acting_user"]
        case = open_case(
            selection_from(options),
            options["target"],
            reason=options["reason"],
            acting_user=user,
            incident=options["incident"],
            ticket=options["ticket"],
        )
        out, back = exclusions_from(options)
        plan = (
            leave_out(case, out, again_in=back, reason=options["reason"], acting_user=user)
            if out or back
            else request_preview(case, acting_user=user, again=options["again"])
        )
        self.followed(plan.jobs.get(kind=Job.Kind.PREVIEW), work_here=options["work"])
        plan.refresh_from_db()
        if plan.status == Plan.Status.FAILED:
            raise PreviewFailed(f"{plan} failed: {plan.failure}")
        return plan_answer(plan)
