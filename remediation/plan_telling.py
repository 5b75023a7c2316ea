"""Saying a plan to a person: what it would change, why, and what comes next."""

from typing import Any

from remediation.command_line import JobCommand, money_in_words, rows_in_words, time_in_words

MOST_CAUSES = 12
_BY = {"cause": "cause", "store": "store", "larger_than": "larger changes"}


class PlanCommand(JobCommand):
    """A command whose answer is a plan (`remediation.answers.plan_answer`)."""

    def tell(self, answer: dict[str, Any]) -> None:
        kind = "" if answer["retries"] is None else f", retry of plan {answer['retries']}"
        kind = kind if answer["kind"] == "apply" else f", {answer['kind']} of plan {answer['takes_back']}"
        self.stdout.write(f"Case {answer['case']}, plan {answer['plan']}{kind}: {answer['status']}")
        if answer["proposed"]:
            self.stdout.write(
                f"{rows_in_words(answer['proposed'])} would change by {money_in_words(answer['delta'], signed=True)}."
            )
            self.stdout.write(
                f"Their totals go from {money_in_words(answer['before'])} to {money_in_words(answer['after'])}."
            )
        else:
            self.stdout.write("Nothing would change.")
        left = [
            f"{answer[name]:,} {words}"
            for name, words in (
                ("unchanged", "are right as they are"),
                ("failed", "cannot be corrected"),
                ("moved_since", "stand elsewhere now and are left alone"),
                ("left_out", "are left out"),
            )
            if answer[name]
        ]
        self.stdout.write(f"Of {answer['scanned']:,} looked at" + "".join(f", {each}" for each in left) + ".")
        self._tell_causes(answer["causes"])
        self.tell_table(
            "What is left out",
            ("By", "Name", ">Transactions", ">They would have changed by"),
            (
                (_BY[each["by"]], each["name"], each["rows"], money_in_words(each["delta"], signed=True))
                for each in answer["leaves_out"]
            ),
        )
        self.tell_table(
            "What cannot be corrected",
            ("Reason", ">Transactions", "For example"),
            ((each["reason"], each["rows"], each["example"]) for each in answer["failures"]),
        )
        self._tell_next(answer)

    def _tell_causes(self, causes: list[dict[str, Any]]) -> None:
        self.tell_table(
            "Why",
            ("What changes", ">Transactions", ">By", "For example"),
            (
                (
                    cause["cause"],
                    cause["count"],
                    money_in_words(cause["delta"], signed=True),
                    _example_in_words(cause["example"]),
                )
                for cause in causes[:MOST_CAUSES]
            ),
        )
        if len(causes) > MOST_CAUSES:
            self.stdout.write(f"and {len(causes) - MOST_CAUSES} causes more; --json lists them all.")

    def _tell_next(self, answer: dict[str, Any]) -> None:
        if answer["digest"] is None:
            return
        self.stdout.write(f"\nDigest {answer['digest']}")
        if answer["stale"]:
            self.stdout.write(
                f"It was fresh until {time_in_words(answer['fresh_until'])}. Preview again with --again."
            )
        elif answer["status"] == "ready" and answer["proposed"]:
            needed = answer["required_approvals"]
            who = "another person approves" if needed == 1 else f"{needed} other people approve"
            self.stdout.write(
                f"Next, until {time_in_words(answer['fresh_until'])}: {who} it with\n"
                f"  manage.py approve {answer['plan']} --digest {answer['digest']} --as …"
            )
        elif answer["status"] == "approved":
            self.stdout.write(f"Next: manage.py apply {answer['plan']} --as …")


def _example_in_words(example: dict[str, Any] | None) -> str:
    """The reference and what changes of its amounts: "o-17: total 10.10 → 10.20 USD"."""
    if example is None:
        return ""
    before, after = example["before"], example["after"]
    changes = [
        f"{name} {before.get(name, 'none')} → {after.get(name, 'none')}"
        for name in dict.fromkeys((*before, *after))
        if before.get(name) != after.get(name)
    ]
    return f"{example['reference']}: {', '.join(changes)} {example['currency']}"
