"""What beat rings for of the audit trail."""

from celery import shared_task

from audit import alarms
from audit.nightly import start_nightly_verification


@shared_task
def verify_nightly() -> None:
    """Verify everything, in a process of its own."""
    start_nightly_verification()


@shared_task
def look_after_trail() -> None:
    """Raise and end alarms about the trail."""
    alarms.look_after_trail()
