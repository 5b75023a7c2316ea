from argparse import ArgumentParser, ArgumentTypeError
from decimal import Decimal, InvalidOperation
from typing import Any

from audit.command_line import authenticated_user
from remediation.audit_sample import draw_sample
from remediation.command_line import JobCommand, Unknown, job_numbered, time_in_words
from remediation.models import AuditSample, Job
from remediation.sample_answers import sample_answer, samples_answer


def percent(text: str) -> Decimal:
    """Percent as a share of 1, exactly: "0.5" is 0.005."""
    try:
        return Decimal(text) / 100
    except InvalidOperation:
        raise ArgumentTypeError(f"“{text}” is no number of percent, such as 95 or 0.5.") from None


class Command(JobCommand):
    help = (
        "Draw a random sample of the corrections that a job applied, or show a job's samples with every correction "
        "recomputed. docs/audit-sample.md explains the method."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("action", choices=("draw", "show"))
        parser.add_argument("job", type=int, metavar="JOB")
        parser.add_argument(
            "--confidence", type=percent, default=None, metavar="PERCENT", help="95 where it is not said."
        )
        parser.add_argument(
            "--tolerable",
            type=percent,
            default=None,
            metavar="PERCENT",
            help="As much must not be wrong; 1 where it is not said.",
        )
        parser.add_argument(
            "--expected", type=percent, default=None, metavar="PERCENT", help="0 where it is not said."
        )
        parser.add_argument("--seed", default="", help="A text; drawn where it is not given.")
        parser.add_argument(
            "--sample", type=int, metavar="SAMPLE", help="With show: this sample, with all that was drawn."
        )
        parser.add_argument(
            "--as",
            dest="acting_as",
            metavar="USER",
            help="Who draws; not needed to show. The password comes from AMENDS_PASSWORD, or is asked for.",
        )

    def answer(self, **options: Any) -> dict[str, Any]:
        asked = {name: options[name] for name in ("confidence", "tolerable", "expected", "seed")}
        job = job_numbered(options["job"])
        if options["action"] == "draw":
            if options["sample"] is not None:
                self.usage("--sample goes with “audit_sample show”.")
            return self._drawn(job, asked, options["acting_as"])
        if any(asked.values()):
            self.usage("What to draw is said with “audit_sample draw”.")
        if options["sample"] is None:
            return samples_answer(job)
        return sample_answer(_sample_of(job, options["sample"]))

    def _drawn(self, job: Job, asked: dict[str, Any], acting_as: str | None) -> dict[str, Any]:
        if not acting_as:
            self.usage("Say with --as who draws.")
        sample = draw_sample(
            job,
            acting_user=authenticated_user(acting_as),
            confidence=_or(asked["confidence"], "0.95"),
            tolerable_rate=_or(asked["tolerable"], "0.01"),
            expected_rate=_or(asked["expected"], "0"),
            seed=asked["seed"],
        )
        return sample_answer(AuditSample.objects.select_related("job", "drawn_by").get(pk=sample.pk))

    def tell(self, answer: dict[str, Any]) -> None:
        for sample in answer.get("samples", [answer]):
            self._tell_sample(sample)
        if answer.get("samples") == []:
            self.stdout.write("No sample of it was drawn yet.")
        if "items" in answer:
            self._tell_items(answer)

    def _tell_sample(self, sample: dict[str, Any]) -> None:
        self.stdout.write(
            f"Audit sample {sample['sample']} of job {sample['job']}: {sample['size']:,} of {sample['population']:,} corrections, "
            f"confidence {sample['confidence']}, tolerable {sample['tolerable']}, expected {sample['expected']}. "
            f"Drawn by {sample['drawn_by']} at {time_in_words(sample['drawn_at'])}, "
            f"seed {'chosen' if sample['seed_chosen'] else 'drawn'}: {sample['seed']}"
        )
        self.stdout.write(sample["report"]["in_words"])
        if (concluded := sample["concluded"]) is not None:
            late = " Verdicts changed since." if concluded["out_of_date"] else ""
            found = "accepted" if concluded["accepted"] else "not accepted"
            self.stdout.write(
                f"Concluded by {concluded['by']} at {time_in_words(concluded['at'])}: {found}.{late}"
            )

    def _tell_items(self, answer: dict[str, Any]) -> None:
        if not answer["drawn_again"]:
            self.stdout.write(
                "ITS SEED DOES NOT LEAD TO THESE CORRECTIONS: the sample was changed after it was drawn."
            )
        self.tell_table(
            "Drawn",
            (">No", ">Position", "Transaction", ">Before", ">After", "", "Recomputed", "Leaf", "Verdict"),
            (
                (
                    item["number"],
                    item["position"],
                    "gone" if item["gone"] else item["reference"],
                    item.get("before"),
                    item.get("after"),
                    item.get("currency"),
                    item.get("recomputed"),
                    " ".join(item["problems"]) or "holds",
                    None if item["verdict"] is None else item["verdict"]["verdict"],
                )
                for item in answer["items"]
            ),
        )


def _or(given: Decimal | None, usual: str) -> Decimal:
    return Decimal(usual) if given is None else given


def _sample_of(job: Job, number: int) -> AuditSample:
    sample = AuditSample.objects.select_related("job", "drawn_by").filter(pk=number, job=job).first()
    if sample is None:
        raise Unknown(
            f"{job} has no audit sample {number}. “manage.py audit_sample show {job.pk}” lists them."
        )
    return sample
