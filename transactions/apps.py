from importlib import import_module

from django.apps import AppConfig
from django.conf import settings

from transactions.calculators import load


class TransactionsConfig(AppConfig):
    name = "transactions"

    def ready(self) -> None:
        """Make every calculator known that the setting `AMENDS_CALCULATORS` and installed packages name."""
        load(settings.AMENDS_CALCULATORS)
        import_module("transactions.events")  # an entry of a type that nobody imported could not be written
        import_module("transactions.verification").register_checks()
