from importlib import import_module

from django.apps import AppConfig


class RemediationConfig(AppConfig):
    name = "remediation"

    def ready(self) -> None:
        """Register the event types, without which no entry could be written, what belongs to a case's trail, what verifies it, and what
        can be looked up.

        Raises `ImproperlyConfigured` where the approval policy cannot be read: nothing is to be previewed without one.
        """
        import_module("remediation.events")
        import_module("remediation.lookup")
        import_module("remediation.moves")
        import_module("remediation.trail_of_a_case")
        import_module("remediation.trail_checks").register_checks()
        import_module("remediation.policy").policy_in_force()
