from importlib import import_module

from django.apps import AppConfig


class AuditConfig(AppConfig):
    name = "audit"

    def ready(self) -> None:
        """Register the event types: an entry of a type that nobody imported could not be written."""
        import_module("audit.trail_events")
