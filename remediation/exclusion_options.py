"""How what is left out is given on the command line."""

from argparse import ArgumentParser
from typing import Any

from remediation.exclusions import Exclusions, InvalidExclusions
from remediation.money import money_key
from transactions.money import MoneyError, currency_exponent, parse_amount


def add_exclusion_options(parser: ArgumentParser) -> None:
    """Give `parser` the options that `exclusions_from` reads."""
    options = parser.add_argument_group(
        "leaving out", "Rows that would be corrected, and are not to be. They are counted all the same."
    )
    for verb, words in (("leave-out", "Do not correct"), ("take-in", "Correct again what was left out:")):
        options.add_argument(
            f"--{verb}-cause",
            action="append",
            default=[],
            metavar="CAUSE",
            help=f"{words} rows of this cause.",
        )
        options.add_argument(
            f"--{verb}-store", action="append", default=[], metavar="REFERENCE", help=f"{words} this store's."
        )
    options.add_argument(
        "--leave-out-larger-than",
        action="append",
        default=[],
        metavar="CURRENCY=AMOUNT",
        help="Do not correct a total by more than this, as in USD=50.00, or USD:4=50.0000 where it is kept at four digits.",
    )
    options.add_argument(
        "--take-in-larger",
        action="append",
        default=[],
        metavar="CURRENCY",
        help="Correct larger changes of this currency again.",
    )


def exclusions_from(options: dict[str, Any]) -> tuple[Exclusions, Exclusions]:
    """What is to be left out, and what is to be taken in again. Raises `InvalidExclusions`."""
    limits = {}
    for given in options["leave_out_larger_than"]:
        named, equals, amount = given.partition("=")
        key = _key(named)
        if not equals:
            raise InvalidExclusions(f"“{given}” is no limit: write it as in USD=50.00.")
        try:
            limits[key] = parse_amount(amount, int(key.partition(":")[2]))
        except MoneyError as error:
            raise InvalidExclusions(str(error)) from error
    return (
        Exclusions(tuple(options["leave_out_cause"]), tuple(options["leave_out_store"]), limits),
        Exclusions(
            tuple(options["take_in_cause"]),
            tuple(options["take_in_store"]),
            {_key(named): 0 for named in options["take_in_larger"]},
        ),
    )


def _key(named: str) -> str:
    currency, colon, scale = named.partition(":")
    if colon and not (scale.isdecimal() and len(scale) < 3):
        raise InvalidExclusions(f"“{named}” is no currency: write it as in USD, or USD:4.")
    try:
        return money_key(currency, int(scale) if colon else currency_exponent(currency))
    except MoneyError as error:
        raise InvalidExclusions(str(error)) from error
