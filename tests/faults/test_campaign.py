"""The quick slice of the fault campaign, as `python -m tests.faults --quick`: servers, workers and a database of its own."""

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from tests.worker_process import ROOT


@pytest.mark.timeout(600)
def test_every_fault_of_the_quick_slice_is_survived(tmp_path: Path) -> None:
    summary = tmp_path / "summary.json"
    with tempfile.TemporaryDirectory(prefix="amends-") as home:  # a short path: sockets are put there
        done = subprocess.run(
            [
                *(sys.executable, "-m", "tests.faults", "--quick", "--seed", "7"),
                *("--kills", "12", "--group-kills", "1", "--json", str(summary)),
            ],
            cwd=ROOT,
            env=os.environ | {"AMENDS_HOME": home},
            capture_output=True,
            text=True,
            check=False,
        )
    assert done.returncode == 0, done.stdout + done.stderr
    told = json.loads(summary.read_text())
    assert told["held"] == len(told["faults"]) >= 7
    assert told["kills"] >= 12
    assert told["group_kills"] >= 1
    assert {"I1", "I2", "I3", "I4", "I5", "I6", "I8", "fenced", "rollups", "verification"} <= told[
        "invariants_checked"
    ].keys()
