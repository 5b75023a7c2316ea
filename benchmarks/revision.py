"""Which revision of the project was measured."""

import subprocess
from pathlib import Path


def commit() -> str:
    """The commit's short name, with “-dirty” where files differ from it; empty outside of a repository."""
    found = subprocess.run(
        ["git", "describe", "--always", "--dirty"],
        capture_output=True,
        text=True,
        check=False,
        cwd=Path(__file__).parent,
    )
    return found.stdout.strip()
