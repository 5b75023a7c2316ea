"""`python -m tests.faults --seed 1`: the fault campaign.

Replayable: the same seed does the same things in the same order (when a process gets to them is the machine's). 0 where all held.
"""

import os
import shutil
import sys
from pathlib import Path

BASE = Path(__file__).parents[2]
HOME = Path(os.environ.get("AMENDS_HOME") or BASE / ".amends").absolute() / f"faults-{os.getpid()}"
for _elsewhere in (
    "DATABASE_URL",
    "DATABASE_OWNER_URL",
    "DATABASE_SEALER_URL",
    "DATABASE_ADMIN_URL",
    "REDIS_URL",
    "AMENDS_BROKER_PREFIX",
):
    os.environ.pop(_elsewhere, None)
os.environ |= {
    "DJANGO_SETTINGS_MODULE": "backoffice.settings",
    "AMENDS_ENV": "development",
    "AMENDS_HOME": str(HOME),
    "AMENDS_FAILPOINT_DIR": str(HOME / "failpoints"),
    "AMENDS_CALCULATORS": "tests.remediation.calculators,tests.faults.calculators",
    "AMENDS_LEASE_SECONDS": "1",
    "AMENDS_PLAN_CHUNK_ROWS": "20",
    "AMENDS_SLICE_SECONDS": "1",
    "AMENDS_ROW_SECONDS": "0.5",
    "AMENDS_LOG_LEVEL": os.environ.get("AMENDS_LOG_LEVEL", "ERROR"),
}

import django  # noqa: E402

django.setup()

from tests.faults.campaign import main  # noqa: E402

if __name__ == "__main__":
    try:
        code = main(sys.argv[1:], HOME)
    finally:
        shutil.rmtree(HOME, ignore_errors=True)
    sys.exit(code)
