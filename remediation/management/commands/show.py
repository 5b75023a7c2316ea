from argparse import ArgumentParser
from typing import Any

from remediation.answers import case_answer
from remediation.command_line import JobCommand, case_numbered, money_in_words, time_in_words
from remediation.stage import Stage


class Command(JobCommand):
    help = "Show where a case stands: plans, decisions, jobs with their progress, the last verification."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("case", type=int, metavar="CASE")

    def answer(self, **options: Any) -> dict[str, Any]:
        return case_answer(case_numbered(options["case"]))

    def tell(self, answer: dict[str, Any]) -> None:
        self.stdout.write(f"Case {answer['case']}: {answer['incident']}")
        self.stdout.write(f"Stage: {Stage(answer['stage']).label}")
        self.stdout.write(
            f"Reason: {answer['reason']}" + (f" ({answer['ticket']})" if answer["ticket"] else "")
        )
        self.stdout.write(f"Selection: {answer['selection_in_words']}, to be as of {answer['target']}")
        if answer["leaves_out"]:
            self.stdout.write(f"Left out: {answer['leaves_out_in_words']}")
        self.stdout.write(f"Opened by {answer['opened_by']} at {time_in_words(answer['opened_at'])}")
        self.tell_table(
            "Plans",
            ("Plan", "Kind", "Status", ">Proposed", ">Failed", ">By", "Asked for by", "Digest"),
            (
                (
                    str(plan["plan"]),
                    plan["kind"],
                    plan["status"] + (f": {plan['failure']}" if plan["failure"] else ""),
                    plan["proposed"],
                    plan["failed"],
                    money_in_words(plan["delta"], signed=True),
                    plan["requested_by"],
                    (plan["digest"] or "")[:12],
                )
                for plan in answer["plans"]
            ),
        )
        self.tell_table(
            "Decisions",
            ("Plan", "Decision", "By", "At", "Comment"),
            (
                (str(each["plan"]), each["decision"], each["by"], time_in_words(each["at"]), each["comment"])
                for each in answer["approvals"]
            ),
        )
        self.tell_table(
            "Jobs",
            ("Job", "Kind", "Plan", "Status", "Chunks", ">Rows", ">Rows/s", ">Seconds left"),
            (_job_in_words(job) for job in answer["jobs"]),
        )
        verification = answer["verification"]
        if verification is not None:
            self.stdout.write(
                f"\nLast verified at {time_in_words(verification['verified_at'])}: {verification['differing']:,} differing, "
                + (
                    "reconciled"
                    if verification["reconciled"]
                    else "not reconciled: " + " ".join(verification["problems"])
                )
            )


def _job_in_words(job: dict[str, Any]) -> tuple[object, ...]:
    why = job["failure"] or job["trouble"]
    return (
        str(job["job"]),
        job["kind"],
        "" if job["plan"] is None else str(job["plan"]),
        job["status"] + (f": {why}" if why else ""),
        f"{job['chunks_done']} of {job['chunks']}",
        job["rows"],
        job["rows_per_second"],
        job["seconds_left"],
    )
