from django.apps import AppConfig
from django.conf import settings

from transactions.calculators import load


class TransactionsConfig(AppConfig):
    name = "transactions"

    def ready(self) -> None:
        """Make every calculator known that the setting `AMENDS_CALCULATORS` and installed packages name."""
        load(settings.AMENDS_CALCULATORS)
