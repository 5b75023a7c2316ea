"""A file that says which process we started, so that the next run can find it, or see that it is gone.

A process id alone is not enough: after a crash the same number may be somebody else's. The start time tells them apart.
"""

import json
import os
import time
from dataclasses import dataclass
from pathlib import Path

import psutil

_SAME_START_SECONDS = 2.0  # the kernel counts in ticks since boot; two readings may differ by a rounding


@dataclass(frozen=True)
class ProcessFile:
    path: Path

    def write(self, process_id: int | None = None) -> None:
        """Remember a process, by default this one. Raises `psutil.NoSuchProcess` where it is gone already."""
        process = psutil.Process(process_id)
        unfinished = self.path.with_name(f"{self.path.name}.{os.getpid()}")
        unfinished.write_text(
            json.dumps({"pid": process.pid, "started": process.create_time()}), encoding="utf-8"
        )
        unfinished.rename(self.path)

    def running(self) -> psutil.Process | None:
        """The remembered process if it is still alive, else None."""
        try:
            remembered = json.loads(self.path.read_text(encoding="utf-8"))
            process = psutil.Process(remembered["pid"])
            same = abs(process.create_time() - remembered["started"]) < _SAME_START_SECONDS
            return process if same and process.status() != psutil.STATUS_ZOMBIE else None
        except (FileNotFoundError, json.JSONDecodeError, psutil.NoSuchProcess):
            return None

    def stop(self, patience_seconds: float) -> bool:
        """End the remembered process and forget it: politely, then by force. Says whether there was one."""
        process = self.running()
        if process is not None:
            stop_process(process, patience_seconds)
        self.path.unlink(missing_ok=True)
        return process is not None


def stop_process(process: psutil.Process, patience_seconds: float) -> None:
    """SIGTERM, then SIGKILL after the given time. One that is gone already is no error."""
    try:
        process.terminate()
        if not _wait_until_gone(process, patience_seconds):
            process.kill()
            _wait_until_gone(process, seconds=10)
    except psutil.NoSuchProcess:
        return


def _wait_until_gone(process: psutil.Process, seconds: float) -> bool:
    """Whether it ended in that time. A zombie has ended: who is to reap it may be slow, and is not us."""
    deadline = time.monotonic() + seconds
    while process.is_running() and process.status() != psutil.STATUS_ZOMBIE:
        if time.monotonic() > deadline:
            return False
        time.sleep(0.01)
    return True
