from importlib import import_module

from django.apps import AppConfig


class AuditConfig(AppConfig):
    name = "audit"

    def ready(self) -> None:
        """Register the event types (an entry of a type that nobody imported could not be written), and what verifies this floor."""
        for events in ("audit.trail_events", "audit.alarms"):
            import_module(events)
        for checks in ("audit.trail_checks", "audit.checkpoint_checks"):
            import_module(checks).register_checks()
