from argparse import ArgumentParser, ArgumentTypeError
from typing import Any

from audit.command_line import authenticated_user
from remediation.answers import job_answer
from remediation.command_line import JobCommand, job_numbered, time_in_words
from remediation.control import KEEP, LIMITS, cancel_job, pause_job, resume_job, tune_job
from remediation.models import Job

_UNITS = {
    "workers": ("N", "Chunks in hand at a time, at most."),
    "chunk_rows": ("N", "Rows moved at once, at most."),
    "pause_milliseconds": ("MS", "A worker's rest after each chunk."),
    "rows_per_second": ("N", "The rate of all workers together, at most."),
}


def limit(text: str) -> int | None:
    """A whole number, or "none" to take the limit away."""
    if text == "none":
        return None
    try:
        return int(text)
    except ValueError:
        raise ArgumentTypeError(f"“{text}” is no whole number; “none” takes the limit away.") from None


class Command(JobCommand):
    help = "Steer a job while it runs: pause, resume, cancel, tune, or show how it stands. Needs no living worker."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("action", choices=("pause", "resume", "cancel", "tune", "show"))
        parser.add_argument("job", type=int, metavar="JOB")
        parser.add_argument(
            "--as",
            dest="acting_as",
            metavar="USER",
            help="Who does this; not needed to show. The password comes from AMENDS_PASSWORD, or is asked for.",
        )
        parser.add_argument(
            "--reason", default="", help="Why. Needed to cancel, and to go on past a gate that holds the job."
        )
        for name, (unit, meaning) in _UNITS.items():
            parser.add_argument(
                f"--{name.replace('_', '-')}",
                dest=name,
                type=limit,
                default=KEEP,
                metavar=f"{unit}|none",
                help=f"{meaning} With tune.",
            )

    def answer(self, **options: Any) -> dict[str, Any]:
        action = options["action"]
        limits = {name: options[name] for name in LIMITS if options[name] is not KEEP}
        if limits and action != "tune":
            self.usage(f"Limits are set with “job tune”, not with “job {action}”.")
        if action == "tune" and not limits:
            self.usage(
                "Say what to tune: --workers, --chunk-rows, --pause-milliseconds or --rows-per-second."
            )
        if action != "show" and not options["acting_as"]:
            self.usage("Say with --as who does this.")
        job = job_numbered(options["job"])
        if action != "show":
            job = self._steered(job, action, options, limits)
        return job_answer(job)

    def _steered(self, job: Job, action: str, options: dict[str, Any], limits: dict[str, Any]) -> Job:
        user, reason = authenticated_user(options["acting_as"]), options["reason"]
        if action == "pause":
            return pause_job(job, acting_user=user, reason=reason)
        if action == "resume":
            return resume_job(job, acting_user=user, reason=reason)
        if action == "cancel":
            return cancel_job(job, acting_user=user, reason=reason)
        return tune_job(job, acting_user=user, reason=reason, **limits)

    def tell(self, answer: dict[str, Any]) -> None:
        of = "" if answer["rows_total"] is None else f" of {answer['rows_total']:,}"
        self.stdout.write(
            f"Job {answer['job']} ({answer['kind']}) is {answer['status']}: {answer['rows']:,}{of} rows, "
            f"{answer['chunks_done']:,} of {answer['chunks']:,} chunks done."
        )
        for line in (answer["stopped_because"], answer["throttle"], answer["trouble"]):
            if line:
                self.stdout.write(line)
        if answer["status"] == "failed":
            self.stdout.write(answer["failure"])
        if len(answer["stages"]) > 1:
            through = answer["stages"][answer["stage"] - 1]
            self.stdout.write(
                f"Stage {answer['stage']} of {len(answer['stages'])}, through {through:,} rows."
            )
        set_limits = [
            f"{name.replace('_', ' ')} {value:,}"
            for name, value in answer["limits"].items()
            if value is not None
        ]
        if set_limits:
            self.stdout.write(f"Limits: {', '.join(set_limits)}.")
        if answer["quarantined"]:
            self.stdout.write(f"Quarantined rows, listed as failed: {answer['quarantined']:,}.")
        if answer["stuck"]:
            self.stdout.write(
                "It is stuck: nobody is at it. Start workers with “manage.py supervise”; nothing is lost meanwhile."
            )
        self.tell_table(
            "In hand",
            ("Chunk", "Worker", "Since", ">Attempt", ">Rows"),
            (
                (
                    str(each["chunk"]),
                    each["worker"],
                    time_in_words(each["since"]),
                    each["attempt"],
                    each["rows"],
                )
                for each in answer["in_hand"]
            ),
        )
