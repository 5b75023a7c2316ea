"""Finding the code that calculates, for everything that needs it: a target without code is refused in one place."""

from audit.errors import Refused
from transactions.calculators import RegisteredCalculator, UnknownCalculator, calculator


class TargetWithoutCode(Refused):
    """No code is registered here for a calculator's version; its text lists the versions that there are."""


def calculator_for(name: str, version: str) -> RegisteredCalculator:
    """The calculator of that name and version. Raises `TargetWithoutCode`.

    The modules of the setting AMENDS_CALCULATORS are loaded once, when Django starts (`transactions.apps`).
    """
    try:
        return calculator(name, version)
    except UnknownCalculator as unknown:
        raise TargetWithoutCode(str(unknown)) from None
