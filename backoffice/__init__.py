"""The composition root: settings, addresses, workers, roles, embedded services. No other app imports it."""

from backoffice.celery import app as celery_app

__all__ = ["celery_app"]
