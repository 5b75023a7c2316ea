from argparse import ArgumentParser
from typing import Any

from remediation.answers import apply_answer
from remediation.apply import start_apply
from remediation.command_line import JobCommand, money_in_words, plan_numbered, rows_in_words
from remediation.stages import stages_from


class Command(JobCommand):
    help = "Apply an approved plan. What was changed by others since its preview is reported as a conflict and left alone."
    changes_something = True

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("plan", type=int, metavar="PLAN")
        parser.add_argument(
            "--stages",
            metavar="1,100,1%%|none",
            help="Rows moved by the end of each stage, or a percentage of the plan's; gates are asked in between. All rows come last.",
        )
        self.add_work_option(parser)

    def answer(self, **options: Any) -> dict[str, Any]:
        plan = plan_numbered(options["plan"])
        rows = (plan.manifest or {}).get("proposed", 0)
        stages = None if options["stages"] is None else stages_from(options["stages"], rows)
        job = start_apply(plan, acting_user=options["acting_user"], stages=stages)
        return apply_answer(self.followed(job, work_here=options["work"]))

    def tell(self, answer: dict[str, Any]) -> None:
        self.stdout.write(
            f"Plan {answer['plan']}, job {answer['job']}: {rows_in_words(answer['applied'])} corrected "
            f"by {money_in_words(answer['delta'], signed=True)}."
        )
        self.tell_table(
            f"{rows_in_words(answer['conflicts'], 'conflict')}, left alone",
            ("Why", ">Transactions", "For example"),
            ((each["reason"], each["rows"], each["example"]) for each in answer["conflict_reasons"]),
        )
        self.stdout.write(f"Next: manage.py verify {answer['case']} --as …")
