"""What beat rings for that belongs to no app of Amends."""

from celery import shared_task
from django.core.management import call_command


@shared_task
def forget_expired_sessions() -> None:
    """Delete sessions past their time, which Django itself leaves lying."""
    call_command("clearsessions")
