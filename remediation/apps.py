from importlib import import_module

from django.apps import AppConfig


class RemediationConfig(AppConfig):
    name = "remediation"

    def ready(self) -> None:
        """Register the event types, without which no entry could be written, and what belongs to a case's trail."""
        import_module("remediation.events")
        import_module("remediation.trail_of_a_case")
