"""`manage.py recount_rollups`: whether the finder's counts equal the rows; ends with 1 where they do not."""

from typing import Any

from django.core.management.base import CommandError

from audit.command_line import REFUSED, AmendsCommand
from transactions.rollups import fold_counts, recount


class Command(AmendsCommand):
    help = "Count what transactions stand on from the rows, and hold it against the counts that the finder answers from."

    def handle(self, *args: Any, **options: Any) -> None:
        self._agrees = True
        super().handle(*args, **options)
        if not self._agrees:
            raise CommandError("The counts are not what the rows say.", returncode=REFUSED)

    def answer(self, **_: Any) -> dict[str, Any]:
        folded = fold_counts()
        differences = recount()
        self._agrees = not differences
        return {
            "agrees": self._agrees,
            "folded": folded,
            "differences": [
                {
                    "release": each.release_id,
                    "hour": each.hour.isoformat(),
                    "rollup": each.rollup,
                    "rows": each.rows,
                }
                for each in differences
            ],
        }

    def tell(self, answer: dict[str, Any]) -> None:
        if answer["agrees"]:
            self.stdout.write("Every count equals its rows.")
        for each in answer["differences"]:
            self.stdout.write(
                f"Release {each['release']}, {each['hour']}: {each['rollup']:,} are counted, {each['rows']:,} stand there."
            )
        if answer["differences"]:
            self.stdout.write(
                "Somebody wrote past the functions that move pointers. As the owner: SELECT amends_rebuild_counts()."
            )
