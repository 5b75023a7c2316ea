"""Named points at which a fault can be made to happen, to prove that nothing is lost there.

Nothing happens unless AMENDS_FAILPOINTS names the point: "apply.before_commit=kill" kills the process with SIGKILL the first time that any
process comes by (AMENDS_FAILPOINT_DIR holds a file a point that fired, so that only the first does). For tests and drills.
"""

import os
import signal
from pathlib import Path

POINTS = (
    "lease.before",
    "lease.after",
    "preview.mid_transaction",
    "apply.before_commit",
    "apply.after_commit",
)


class UnknownFailpoint(ValueError):
    """AMENDS_FAILPOINTS names a point or an action that there is not."""


def _armed() -> dict[str, str]:
    armed = dict(
        entry.partition("=")[::2] for entry in os.environ.get("AMENDS_FAILPOINTS", "").split(",") if entry
    )
    for point, action in armed.items():
        if point not in POINTS or action != "kill":
            raise UnknownFailpoint(
                f"“{point}={action}”: points are {', '.join(POINTS)}, and the action is kill."
            )
    return armed


_ARMED = _armed()


def reach(point: str) -> None:
    """Pass the named point: do what AMENDS_FAILPOINTS asks for there, once over all processes."""
    if point not in _ARMED:
        return
    fired = Path(os.environ["AMENDS_FAILPOINT_DIR"]) / f"{point}.fired"
    try:
        fired.touch(exist_ok=False)
    except FileExistsError:
        return
    os.kill(os.getpid(), signal.SIGKILL)
