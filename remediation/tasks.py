"""What Celery workers are told: that a job has work. The ids are all that a message carries."""

import os
import socket

from celery import shared_task

from audit.context import request
from remediation.doorbell import TASK
from remediation.runner import work


@shared_task(name=TASK, ignore_result=True)
def work_on_job(job_id: int) -> None:
    """Work on the job until none of its chunks waits. A job that is not there, or has ended, is no work."""
    with request():
        work(int(job_id), worker=f"{socket.gethostname()}:{os.getpid()}")
