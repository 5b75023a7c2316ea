"""Named points at which a fault can be made to happen, to prove that nothing is lost there. For tests and drills.

Nothing happens unless AMENDS_FAILPOINT_DIR names a folder. There a fault is armed by a file named "apply.before_commit=kill#7" (point,
action, and anything that makes it unique): the next process that comes by the point moves the file to the folder "fired" beside it, so
that exactly one does, writes there who it was and when, and does the action. AMENDS_FAILPOINTS ("apply.before_commit=kill,…") arms for
one time what a process starts with.

Actions: `kill` and `stop` send SIGKILL or SIGSTOP to the process itself; `sleep:0.5` takes so many seconds; `note` does nothing else;
`disconnect` ends the process's own database connection from the server's side; `sqlstate:40P01` lets the database raise that error.
"""

import json
import os
import signal
import time
from contextlib import suppress
from pathlib import Path

from django.db import connection

POINTS = (
    "lease.before",
    "lease.after",
    "preview.mid_transaction",
    "apply.before_commit",
    "apply.after_commit",
)
ACTIONS = ("kill", "stop", "sleep", "note", "disconnect", "sqlstate")


class UnknownFailpoint(ValueError):
    """A point or an action that there is not."""


def check(point: str, action: str) -> None:
    """Raise `UnknownFailpoint` unless there are such a point and such an action."""
    if point not in POINTS or action.partition(":")[0] not in ACTIONS:
        raise UnknownFailpoint(
            f"“{point}={action}”: points are {', '.join(POINTS)}; actions are {', '.join(ACTIONS)}."
        )


def _armed_at_start() -> dict[str, str]:
    armed = dict(
        entry.partition("=")[::2] for entry in os.environ.get("AMENDS_FAILPOINTS", "").split(",") if entry
    )
    for point, action in armed.items():
        check(point, action)
    return armed


_FOLDER = Path(os.environ["AMENDS_FAILPOINT_DIR"]) if os.environ.get("AMENDS_FAILPOINT_DIR") else None
_ARMED_AT_START = _armed_at_start()


def reach(point: str) -> None:
    """Pass the named point: do what is armed there, if anything is."""
    if _FOLDER is None:
        return
    if point in _ARMED_AT_START:
        with suppress(FileExistsError):
            (_FOLDER / f"{point}.fired").touch(exist_ok=False)
            _do(_ARMED_AT_START[point])
    for armed in sorted(_FOLDER.glob(f"{point}=*")):
        fired = _FOLDER / "fired" / armed.name
        try:
            armed.rename(fired)
        except FileNotFoundError:
            continue  # another process was first
        fired.write_text(json.dumps({"pid": os.getpid(), "at": time.time()}), encoding="utf-8")
        _do(armed.name.partition("=")[2].partition("#")[0])
        return


def _do(action: str) -> None:
    name, _, parameter = action.partition(":")
    if name == "kill":
        os.kill(os.getpid(), signal.SIGKILL)
    elif name == "stop":
        os.kill(os.getpid(), signal.SIGSTOP)
    elif name == "sleep":
        time.sleep(float(parameter))
    elif name == "disconnect":
        with connection.cursor() as cursor:
            cursor.execute("SELECT pg_terminate_backend(pg_backend_pid())")
    elif name == "sqlstate":
        with connection.cursor() as cursor:
            cursor.execute(f"DO $$ BEGIN RAISE EXCEPTION 'failpoint' USING ERRCODE = '{parameter}'; END $$")
