"""How a selection is given on the command line: the same options wherever one is asked for."""

from argparse import ArgumentParser
from typing import Any

from audit.command_line import moment
from transactions.selection import Selection


def add_selection_options(parser: ArgumentParser) -> None:
    """Give `parser` the options that `selection_from` reads."""
    options = parser.add_argument_group(
        "selection", "What is given narrows it; an option given twice means either."
    )
    options.add_argument(
        "--calculator", required=True, metavar="NAME", help="The calculator, such as pricing."
    )
    options.add_argument(
        "--service", action="append", default=[], metavar="NAME", help="Calculated by this service."
    )
    options.add_argument(
        "--release",
        action="append",
        default=[],
        metavar="VERSION",
        help="Calculated by this version, such as 1.9.0.",
    )
    options.add_argument(
        "--from",
        dest="calculated_from",
        type=moment,
        metavar="TIME",
        help="Calculated at or after this time.",
    )
    options.add_argument(
        "--to", dest="calculated_before", type=moment, metavar="TIME", help="Calculated before this time."
    )
    options.add_argument(
        "--occurred-from", type=moment, metavar="TIME", help="Occurred at or after this time."
    )
    options.add_argument(
        "--occurred-to",
        dest="occurred_before",
        type=moment,
        metavar="TIME",
        help="Occurred before this time.",
    )
    options.add_argument("--store", action="append", default=[], metavar="REFERENCE", help="Of this store.")
    options.add_argument(
        "--country", action="append", default=[], metavar="CODE", help="Of stores there (ISO 3166)."
    )
    options.add_argument(
        "--currency", action="append", default=[], metavar="CODE", help="In this currency (ISO 4217)."
    )
    options.add_argument(
        "--reference", action="append", default=[], metavar="REFERENCE", help="This transaction, in full."
    )
    options.add_argument(
        "--total-from", metavar="AMOUNT", help="Its total is at least this, in units of its currency: 12.50."
    )
    options.add_argument(
        "--total-to", metavar="AMOUNT", help="Its total is at most this, in units of its currency."
    )


def selection_from(options: dict[str, Any]) -> Selection:
    """The selection that a command's `options` mean. Raises `InvalidSelection`."""
    return Selection(
        calculator=options["calculator"],
        services=tuple(options["service"]),
        versions=tuple(options["release"]),
        calculated_from=options["calculated_from"],
        calculated_before=options["calculated_before"],
        occurred_from=options["occurred_from"],
        occurred_before=options["occurred_before"],
        stores=tuple(options["store"]),
        countries=tuple(options["country"]),
        currencies=tuple(options["currency"]),
        references=tuple(options["reference"]),
        total_from=options["total_from"],
        total_to=options["total_to"],
    )
