"""`python -m benchmarks.evidence`: what an evidence pack costs to make and to check, at two sizes: memory must not grow with it.

Each half is a process of its own, whose peak is told. Writes benchmarks/results/evidence-….json.
"""

import argparse
import os
import subprocess
import sys
import time
from pathlib import Path
from tempfile import TemporaryDirectory, TemporaryFile
from typing import Any

import django

os.environ["DJANGO_SETTINGS_MODULE"] = "benchmarks.settings"
django.setup()

from django.contrib.auth.models import User  # noqa: E402 (Django is set up above)

from backoffice.people import create_user  # noqa: E402
from benchmarks.calculators import LEAN_VERSION  # noqa: E402
from benchmarks.databases import durability, fresh_copy, servers, settle, template_of  # noqa: E402
from benchmarks.product import WrongResult, run_product  # noqa: E402
from benchmarks.report import console, figure, machine, tell_figures, write_result  # noqa: E402
from remediation.evidence.pack import VERIFIER, write_evidence  # noqa: E402
from remediation.models import Case  # noqa: E402

WANTED_MORE_MEGABYTES = 20
WRITE = "--write"
INCOMPLETE = 3
"""verify.py's exit code where nothing is sealed, as here."""


def main(arguments: list[str]) -> int:
    """0 where memory stays as wanted, 1 where it does not."""
    if arguments[:1] == [WRITE]:
        return _write(Path(arguments[1]))
    parser = argparse.ArgumentParser(prog="python -m benchmarks.evidence", description=__doc__)
    parser.add_argument("--rows", type=int, default=1_000_000, help="transactions; two in five are corrected")
    parser.add_argument("--base", type=int, default=100_000, help="transactions that it is compared with")
    asked = parser.parse_args(arguments)
    with servers():
        runs = {rows: _run(rows) for rows in (asked.base, asked.rows)}
        measured: dict[str, Any] = {"runs": runs, "machine": machine(), "database": durability()}
    small, large = runs[asked.base], runs[asked.rows]
    measured["figures"] = [
        figure(
            f"MB more to {what} a pack of {large['corrections']:,} corrections than of {small['corrections']:,}",
            large[f"{what}_megabytes"] - small[f"{what}_megabytes"],
            WANTED_MORE_MEGABYTES,
            at_most=True,
        )
        for what in ("write", "check")
    ]
    write_result("evidence-", measured)
    return tell_figures(measured["figures"])


def _run(rows: int) -> dict[str, float]:
    fresh_copy(template_of(rows))
    corrections = run_product(LEAN_VERSION, 2).rows
    create_user("auditor", "auditor", "a-password-of-nobody")
    settle()
    with TemporaryDirectory() as folder:
        pack = Path(folder) / "pack.zip"
        write = _measured([sys.executable, "-m", "benchmarks.evidence", WRITE, str(pack)], 0)
        check = _measured([sys.executable, "-I", str(VERIFIER), str(pack)], INCOMPLETE)
        size = pack.stat().st_size
    console.print(
        f"{corrections:,} corrections, {size / 1e6:.0f} MB: written {corrections / write[0]:,.0f} a second in {write[1]:.0f} MB, "
        f"checked {corrections / check[0]:,.0f} a second in {check[1]:.0f} MB"
    )
    return {
        "corrections": corrections,
        "bytes": size,
        "write_seconds": write[0],
        "write_megabytes": write[1],
        "check_seconds": check[0],
        "check_megabytes": check[1],
    }


def _measured(command: list[str], expected: int) -> tuple[float, float]:
    """Seconds, and the peak of the process's resident size in 10^6 octets.

    A small process in between starts it: a process is told the peak of the one that it was forked from, which here is larger.
    """
    with TemporaryFile("w+") as said:
        begun = time.perf_counter()
        asked = [sys.executable, "-I", "-S", "-c", _STARTER, *command]
        process = subprocess.run(asked, stdout=subprocess.PIPE, stderr=said, check=False, text=True)
        seconds = time.perf_counter() - begun
        if process.returncode != expected:
            said.seek(0)
            raise WrongResult(f"{command[1:4]} ended with {process.returncode}:\n{said.read()[-2000:]}")
    return seconds, int(process.stdout) * 1024 / 1e6


_STARTER = """
import os, subprocess, sys
process = subprocess.Popen(sys.argv[1:], stdout=sys.stderr)
_, status, usage = os.wait4(process.pid, 0)
print(usage.ru_maxrss)
sys.exit(os.waitstatus_to_exitcode(status))
"""


def _write(pack: Path) -> int:
    with pack.open("xb") as file:
        write_evidence(Case.objects.get(), file, acting_user=User.objects.get(username="auditor"))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
