from argparse import ArgumentParser
from typing import Any

from remediation.answers import verify_answer
from remediation.command_line import JobCommand, case_numbered, money_in_words, rows_in_words
from remediation.verification import CLASSES
from remediation.verify import start_verify


class Command(JobCommand):
    help = "Recompute everything in a case's scope, and hold every pointer and every sum against what was approved."
    changes_something = True

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("case", type=int, metavar="CASE")
        self.add_work_option(parser)

    def answer(self, **options: Any) -> dict[str, Any]:
        job = start_verify(case_numbered(options["case"]), acting_user=options["acting_user"])
        return verify_answer(self.followed(job, work_here=options["work"]))

    def tell(self, answer: dict[str, Any]) -> None:
        left = answer["differing"]
        self.stdout.write(
            f"Case {answer['case']}: "
            + (
                f"{rows_in_words(left)} still differ from the target."
                if left
                else "nothing differs from the target."
            )
            + (f" {rows_in_words(answer['excluded'])} are left out." if answer["excluded"] else "")
        )
        self.tell_table(
            "In scope now",
            ("Class", ">Transactions", ">The target would add", "What it means"),
            (
                (name, part["rows"], money_in_words(part["money"], signed=True), CLASSES[name])
                for name, part in answer["classes"].items()
                if part["rows"]
            ),
        )
        self.tell_table(
            "Plans, added up from rows and pointers",
            ("Plan", "Kind", ">Previewed", ">Applied", ">Conflicts", ">Failed", ">Left", ">Applied money"),
            (
                (
                    str(plan["plan"]),
                    plan["kind"],
                    *(plan[fate]["rows"] for fate in ("previewed", "applied", "conflicts", "failed", "left")),
                    money_in_words(plan["applied"]["money"], signed=True),
                )
                for plan in answer["plans"]
            ),
        )
        if answer["reconciled"]:
            self.stdout.write(
                "\nReconciled: previewed = applied + conflicts + failed, per currency, to the unit."
            )
        else:
            self.stdout.write("\nNot reconciled:")
            for problem in answer["problems"]:
                self.stdout.write(f"- {problem}")
