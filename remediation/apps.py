from importlib import import_module

from django.apps import AppConfig


class RemediationConfig(AppConfig):
    name = "remediation"

    def ready(self) -> None:
        """Register the event types: an entry of a type that nobody imported could not be written."""
        import_module("remediation.events")
