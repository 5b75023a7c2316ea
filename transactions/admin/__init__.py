"""Pages of stores, releases, transactions and their calculations."""

from transactions.admin.facts import money
from transactions.admin.release import CalculationAdmin, ReleaseAdmin
from transactions.admin.store import StoreAdmin
from transactions.admin.transaction import TransactionAdmin

__all__ = ["CalculationAdmin", "ReleaseAdmin", "StoreAdmin", "TransactionAdmin", "money"]
