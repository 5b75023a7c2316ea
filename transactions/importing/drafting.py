"""From rows to reported transactions, checked against everything that the database would refuse."""

from collections.abc import Callable
from datetime import datetime, timedelta
from functools import lru_cache
from typing import Any, NamedTuple

from transactions.calculators import CalculationFailure, UnknownCalculator, calculator, run
from transactions.canonical import NotCanonical, canonical_json
from transactions.importing.reading import LARGEST_CELL, Problem, SourceRow
from transactions.importing.times import TimeRefused, parse_time
from transactions.ingest import ReportedTransaction
from transactions.mapping import (
    COUNTRY,
    LONGEST,
    POSITION,
    ColumnMissing,
    ColumnNotText,
    Columns,
    Mapping,
    Template,
)
from transactions.money import MoneyError, currency_exponent, parse_amount

CLOCKS_DIFFER_BY = timedelta(minutes=5)
_NOTHING = Template("", ())


class RowRejected(Exception):
    """A row, or a group of rows, cannot become a transaction."""

    def __init__(self, column: str, reason: str) -> None:
        super().__init__(reason)
        self.problem = Problem(column, reason)


class Draft(NamedTuple):
    """A transaction as mapped; its amounts may still have to be calculated. `ambiguous_times` were taken as the first of two."""

    reported: ReportedTransaction
    ambiguous_times: int
    to_compute: bool


class _Value(NamedTuple):
    """A template that must give a text: the column to mend where it does not, columns that may not be empty, its longest."""

    key: str
    of: Callable[[Columns], Any]
    column: str
    parts: tuple[str, ...]
    longest: int
    optional: bool
    constant: str

    def text(self, columns: Columns) -> str:
        """The text for a row. Raises `RowRejected`, `ColumnMissing`, `ColumnNotText`."""
        if self.constant:
            return self.constant
        text = self.of(columns)
        if type(text) is not str:
            text = columns.text(self.column)
        for part in self.parts:
            if columns[part] == "":
                raise RowRejected(part, f"It is empty, and {self.key} needs a value.")
        if len(text) <= self.longest and (self.optional or (text and not text.isspace())):
            return text
        if len(text) > self.longest:
            raise RowRejected(
                self.column, f"It has {len(text)} characters, and {self.key} may have {self.longest}."
            )
        raise RowRejected(self.column, f"It is empty, and {self.key} needs a value.")


class Drafting:
    """Makes drafts as one mapping says. What was calculated after `latest` is rejected as coming from the future."""

    def __init__(self, mapping: Mapping, latest: datetime) -> None:
        self._mapping, self._latest = mapping, latest
        self._defaults = list(mapping.defaults.items())
        self._zone = mapping.timezone
        self._reference = _value("transaction.reference", mapping.reference)
        self._store = _value("transaction.store", mapping.store)
        self._currency = _value("transaction.currency", mapping.currency)
        self._service = _value("calculation.service", mapping.service)
        self._calculator = _value("calculation.calculator", mapping.calculator)
        self._version = _value("calculation.version", mapping.version)
        self._occurred_at = _value("transaction.occurred_at", mapping.occurred_at)
        self._calculated_at = _value("calculation.calculated_at", mapping.calculated_at)
        self._one_time = mapping.occurred_at == mapping.calculated_at
        self._store_name = _value("store.name", mapping.store_name or _NOTHING, optional=True)
        self._store_country = _value("store.country", mapping.store_country or _NOTHING, optional=True)
        self._amounts = [
            (name, template.value, column_to_mend(template))
            for name, template in (mapping.amounts or {}).items()
        ]
        self._inputs = [(name, template.value) for name, template in mapping.inputs.items()]
        self._lines = [(name, template.value) for name, template in (mapping.lines or {}).items()]
        self._personal = [(name, template.value) for name, template in mapping.personal.items()]
        self._header = _header(mapping)

    def draft(self, position: int, rows: list[SourceRow]) -> Draft:
        """The transaction of one row, or of a group's rows in file order. Raises `RowRejected`."""
        try:
            all_columns = [self._columns(row) for row in rows]
            if len(all_columns) > 1:
                self._check_agreement(all_columns)
            return self._draft(position, all_columns)
        except ColumnMissing as missing:
            raise RowRejected(missing.column, f"The record has no “{missing.column}”.") from None
        except ColumnNotText as wrong:
            raise RowRejected(wrong.column, "It is neither a text nor a number.") from None

    def _draft(self, position: int, all_columns: list[Columns]) -> Draft:
        first = all_columns[0]
        currency = self._currency.text(first)
        scale = self._scale(currency)
        occurred_at, ambiguous = self._time(self._occurred_at, all_columns)
        if self._one_time:
            calculated_at = occurred_at
        else:
            calculated_at, more = self._time(self._calculated_at, all_columns)
            ambiguous += more
        if calculated_at > self._latest:
            raise RowRejected(
                self._calculated_at.column,
                f"It was calculated in the future, at {calculated_at.isoformat()}.",
            )
        reported = ReportedTransaction(
            position,
            self._reference.text(first),
            self._store.text(first),
            currency,
            scale,
            occurred_at,
            self._inputs_of(all_columns),
            self._service.text(first),
            self._calculator.text(first),
            self._version.text(first),
            calculated_at,
            self._amounts_of(first, scale),
            self._personal_of(first),
            self._store_name.text(first),
            self._country(first),
        )
        return Draft(reported, ambiguous, self._mapping.amounts is None)

    def _columns(self, row: SourceRow) -> Columns:
        """The row's values with defaults where they are empty, and its place."""
        if row.problem is not None:
            raise RowRejected(*row.problem)
        columns = Columns(row.values)
        for name, default in self._defaults:
            if columns.get(name, "") == "":
                columns[name] = default
        columns["file"], columns["row"] = row.file, str(row.number)
        return columns

    def _scale(self, currency: str) -> int:
        try:
            exponent = currency_exponent(currency)
        except MoneyError as error:
            raise RowRejected(self._currency.column, str(error)) from None
        return exponent if self._mapping.scale is None else self._mapping.scale

    def _time(self, value: _Value, all_columns: list[Columns]) -> tuple[datetime, int]:
        """The earliest time of the rows, and how many of them exist twice."""
        times: list[datetime] = []
        twice = 0
        for columns in all_columns:
            try:
                moment, ambiguous = parse_time(value.text(columns), self._zone)
            except TimeRefused as error:
                raise RowRejected(value.column, str(error)) from None
            times.append(moment)
            twice += ambiguous
        return min(times), twice

    def _amounts_of(self, columns: Columns, scale: int) -> dict[str, int]:
        amounts = {}
        for name, of, column in self._amounts:
            text = of(columns)
            try:
                amounts[name] = (
                    _parsed(text, scale)
                    if type(text) is str and len(text) < 32
                    else parse_amount(text, scale)
                )
            except MoneyError as error:
                raise RowRejected(column, str(error)) from None
        return amounts

    def _inputs_of(self, all_columns: list[Columns]) -> dict[str, Any]:
        first = all_columns[0]
        inputs: dict[str, Any] = {name: of(first) for name, of in self._inputs}
        if self._mapping.lines is not None:
            inputs["lines"] = [{name: of(columns) for name, of in self._lines} for columns in all_columns]
        if self._mapping.format != "csv":
            _check_storable(inputs)
        return inputs

    def _personal_of(self, columns: Columns) -> dict[str, Any] | None:
        if not self._personal:
            return None
        personal = {name: of(columns) for name, of in self._personal}
        if self._mapping.format != "csv":
            _check_storable(personal)
        return personal

    def _country(self, columns: Columns) -> str:
        country = self._store_country.text(columns)
        if not COUNTRY.fullmatch(country):
            raise RowRejected(
                self._store_country.column,
                f"“{country[:40]}” is no ISO 3166 code of two capitals, such as DE.",
            )
        return country

    def _check_agreement(self, all_columns: list[Columns]) -> None:
        """A transaction's rows must say the same of it, but for its times and lines: one of two would be lost otherwise."""
        first = all_columns[0]
        for name, key in self._header.items():
            expected = first.get(name, "")
            for columns in all_columns:
                value = columns.get(name, "")
                if value not in (expected, ""):  # many exports fill a header's columns on its first line only
                    raise RowRejected(
                        name,
                        f"Rows of one transaction do not agree on {key}: “{expected!s:.40}” and “{value!s:.40}”.",
                    )


_parsed = lru_cache(maxsize=20_000)(parse_amount)
"""Most amounts of a source occur many times."""


def _value(key: str, template: Template, *, optional: bool = False) -> _Value:
    composed = template.is_composed and not optional
    parts = tuple(name for name in template.columns if name not in POSITION) if composed else ()
    constant = "" if template.columns else template.value(Columns())
    longest = LONGEST.get(key, LARGEST_CELL)
    return _Value(key, template.value, column_to_mend(template), parts, longest, optional, constant)


def _header(mapping: Mapping) -> dict[str, str]:
    """The columns that rows of one transaction must agree on, each with a key that needs it.

    Where a row stands differs by nature: the first counts.
    """
    own = {"transaction.occurred_at", "calculation.calculated_at"}
    return {
        column: key
        for key, template in mapping.templates()
        if key not in own and not key.startswith("inputs.lines.")
        for column in template.columns
        if column not in POSITION
    }


def _check_storable(value: dict[str, Any]) -> None:
    """CSV has texts only, which were looked at as they were read; NDJSON and Parquet have lists of anything."""
    try:
        canonical_json(value)
    except NotCanonical as error:
        raise RowRejected("", str(error)) from None


def compute(drafts: list[Draft]) -> list[Draft | Problem]:
    """The drafts with the amounts that the named releases' own calculators make of them, or why there are none."""
    results: list[Draft | Problem] = list(drafts)
    by_release: dict[tuple[str, str], list[int]] = {}
    for index, each in enumerate(drafts):
        if each.to_compute:
            by_release.setdefault((each.reported.calculator, each.reported.version), []).append(index)
    for (name, version), indexes in by_release.items():
        try:
            code = calculator(name, version)
        except UnknownCalculator as unknown:
            for index in indexes:
                results[index] = Problem("", str(unknown))
            continue
        answers = run(
            code, [(drafts[index].reported.inputs, drafts[index].reported.scale) for index in indexes]
        )
        for index, answer in zip(indexes, answers, strict=True):
            if isinstance(answer, CalculationFailure):
                results[index] = Problem("", f"{code} cannot calculate it: {answer.reason}")
            else:
                reported = drafts[index].reported._replace(amounts=answer)
                results[index] = drafts[index]._replace(reported=reported)
    return results


def column_to_mend(template: Template) -> str:
    """The column to mend: the first that the template needs."""
    return template.columns[0] if template.columns else ""
