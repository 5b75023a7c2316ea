"""The nightly verification, in a process of its own: it takes minutes, and no worker that holds leases waits for it."""

import os
import subprocess
import sys
from functools import partial

import structlog
from django.conf import settings

logger = structlog.get_logger(__name__)

NICENESS = 10


def start_nightly_verification() -> int:
    """Start `manage.py audit verify` and leave it alone; its process id. Its result is the audit entry that it writes.

    One connection, so that the database's other half is the jobs'. One that runs already is left to end: this one then gives up.
    """
    process = subprocess.Popen(
        [
            sys.executable,
            str(settings.BASE_DIR / "manage.py"),
            "audit",
            "verify",
            "--connections",
            "1",
            "--json",
        ],
        cwd=settings.BASE_DIR,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        start_new_session=True,
        env=os.environ | {"AMENDS_PROCESS": "amends nightly verification"},
        preexec_fn=partial(os.nice, NICENESS),  # noqa: PLW1509 (a pool process has no other thread)
    )
    logger.info("audit.verification_started", pid=process.pid)
    return process.pid
