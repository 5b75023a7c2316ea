"""The Celery application. `celery --app backoffice worker` and `… beat` start here."""

import gc
import logging.config
import os
import signal
from typing import Any

from celery import Celery
from celery.signals import setup_logging, worker_process_init
from django.conf import settings
from django_structlog.celery.steps import DjangoStructLogInitStep

from backoffice.parent_death import die_with_parent
from transactions.isolation import limit_memory

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "backoffice.settings")

app = Celery("amends")
app.config_from_object("django.conf:settings", namespace="CELERY")
app.steps["worker"].add(DjangoStructLogInitStep)
app.autodiscover_tasks()


@setup_logging.connect
def log_as_django_does(**_: Any) -> None:
    """Celery sets up no logging of its own where somebody listens to this signal."""
    logging.config.dictConfig(settings.LOGGING)


@worker_process_init.connect
def end_with_the_worker(**_: Any) -> None:
    """A pool process must not outlive a worker that was killed: its chunk would be nobody's. No calculator eats the machine."""
    die_with_parent(signal.SIGKILL)
    limit_memory(settings.AMENDS_WORKER_MEMORY_MEGABYTES)
    # What is loaded by now stays: no collection looks at it again.
    gc.collect()
    gc.freeze()
