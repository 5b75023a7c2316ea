"""From rows to reported transactions, checked against everything that the database would refuse."""

from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any

from transactions.calculators import CalculationFailure, UnknownCalculator, calculator, run
from transactions.canonical import NotCanonical, canonical_json
from transactions.importing.reading import Problem, SourceRow
from transactions.importing.times import TimeRefused, parse_time
from transactions.ingest import ReportedTransaction
from transactions.mapping import ColumnMissing, Mapping, Template
from transactions.money import MoneyError, currency_exponent, parse_amount

LONGEST = {
    "transaction.reference": 200,
    "transaction.store": 128,
    "store.name": 200,
    "store.country": 2,
    "calculation.service": 100,
    "calculation.calculator": 100,
    "calculation.version": 64,
}
"""Characters that the database keeps of a value."""
CLOCKS_DIFFER_BY = timedelta(minutes=5)


class RowRejected(Exception):
    """A row, or a group of rows, cannot become a transaction."""

    def __init__(self, column: str, reason: str) -> None:
        super().__init__(reason)
        self.problem = Problem(column, reason)


@dataclass(frozen=True)
class Draft:
    """A transaction as mapped; its amounts may still have to be calculated. `ambiguous_times` were taken as the first of two."""

    reported: ReportedTransaction
    ambiguous_times: int
    to_compute: bool


class Drafting:
    """Makes drafts as one mapping says."""

    def __init__(self, mapping: Mapping) -> None:
        self._mapping = mapping
        self._latest = datetime.now(UTC) + CLOCKS_DIFFER_BY

    def draft(self, position: int, rows: list[SourceRow]) -> Draft:
        """The transaction of one row, or of a group's rows in file order. Raises `RowRejected`."""
        mapping = self._mapping
        columns = [self._columns(row) for row in rows]
        first = columns[0]
        currency = self._text("transaction.currency", mapping.currency, first)
        scale = self._scale(currency)
        occurred_at, occurred_twice = self._time("transaction.occurred_at", mapping.occurred_at, columns)
        calculated_at, calculated_twice = self._time(
            "calculation.calculated_at", mapping.calculated_at, columns
        )
        if calculated_at > self._latest:
            raise RowRejected(
                _column(mapping.calculated_at),
                f"It was calculated in the future, at {calculated_at.isoformat()}.",
            )
        if len(columns) > 1:
            self._check_agreement(columns)
        inputs = {name: self._input(template, first) for name, template in mapping.inputs.items()}
        if mapping.lines is not None:
            inputs["lines"] = [
                {name: self._input(template, row) for name, template in mapping.lines.items()}
                for row in columns
            ]
        self._check_storable(inputs)
        amounts = {} if mapping.amounts is None else self._amounts(mapping.amounts, first, scale)
        reported = ReportedTransaction(
            position=position,
            reference=self._text("transaction.reference", mapping.reference, first),
            store=self._text("transaction.store", mapping.store, first),
            currency=currency,
            scale=scale,
            occurred_at=occurred_at,
            inputs=inputs,
            service=self._text("calculation.service", mapping.service, first),
            calculator=self._text("calculation.calculator", mapping.calculator, first),
            version=self._text("calculation.version", mapping.version, first),
            calculated_at=calculated_at,
            amounts=amounts,
            personal=self._personal(first),
            store_name=self._optional("store.name", mapping.store_name, first),
            store_country=self._optional("store.country", mapping.store_country, first),
        )
        return Draft(reported, occurred_twice + calculated_twice, mapping.amounts is None)

    def _columns(self, row: SourceRow) -> dict[str, Any]:
        """The row's values with defaults where they are empty, and its place."""
        if row.problem is not None:
            raise RowRejected(row.problem.column, row.problem.reason)
        values = dict(row.values)
        for name, default in self._mapping.defaults.items():
            if values.get(name) in ("", None):
                values[name] = default
        return values | {"file": row.file, "row": row.number}

    def _value(self, template: Template, columns: dict[str, Any]) -> Any:
        try:
            return template.value(columns)
        except ColumnMissing as missing:
            raise RowRejected(missing.column, f"The record has no “{missing.column}”.") from None

    def _text(self, key: str, template: Template, columns: dict[str, Any]) -> str:
        value = self._value(template, columns)
        text = "" if value is None else str(value)
        if not text.strip():
            raise RowRejected(_column(template), f"It is empty, and {key} needs a value.")
        return self._short(key, template, text)

    def _optional(self, key: str, template: Template | None, columns: dict[str, Any]) -> str:
        if template is None:
            return ""
        value = self._value(template, columns)
        return self._short(key, template, "" if value is None else str(value))

    def _short(self, key: str, template: Template, text: str) -> str:
        if len(text) > LONGEST.get(key, len(text)):
            raise RowRejected(
                _column(template), f"It has {len(text)} characters, and {key} may have {LONGEST[key]}."
            )
        return text

    def _scale(self, currency: str) -> int:
        try:
            exponent = currency_exponent(currency)
        except MoneyError as error:
            raise RowRejected(_column(self._mapping.currency), str(error)) from None
        return exponent if self._mapping.scale is None else self._mapping.scale

    def _time(self, key: str, template: Template, columns: list[dict[str, Any]]) -> tuple[datetime, int]:
        """The earliest time of the rows, and how many of them exist twice."""
        times: list[datetime] = []
        twice = 0
        for row in columns:
            try:
                moment, ambiguous = parse_time(self._text(key, template, row), self._mapping.timezone)
            except TimeRefused as error:
                raise RowRejected(_column(template), str(error)) from None
            times.append(moment)
            twice += ambiguous
        return min(times), twice

    def _amounts(self, templates: dict[str, Template], columns: dict[str, Any], scale: int) -> dict[str, int]:
        amounts = {}
        for name, template in templates.items():
            value = self._value(template, columns)
            try:
                amounts[name] = parse_amount("" if value is None else value, scale)
            except MoneyError as error:
                raise RowRejected(_column(template), str(error)) from None
        return amounts

    def _input(self, template: Template, columns: dict[str, Any]) -> Any:
        value = self._value(template, columns)
        return "" if value is None else value

    def _personal(self, columns: dict[str, Any]) -> dict[str, Any] | None:
        if not self._mapping.personal:
            return None
        personal = {name: self._value(template, columns) for name, template in self._mapping.personal.items()}
        self._check_storable(personal)
        return personal

    def _check_storable(self, value: dict[str, Any]) -> None:
        try:
            canonical_json(value)
        except NotCanonical as error:
            raise RowRejected("", str(error)) from None

    def _check_agreement(self, columns: list[dict[str, Any]]) -> None:
        """A transaction's rows must say the same of it, but for its times and lines: one of two would be lost otherwise."""
        own_time = (self._mapping.occurred_at, self._mapping.calculated_at)
        lines = set((self._mapping.lines or {}).values())
        for key, template in self._mapping.templates():
            if template in own_time or (template in lines and key.startswith("inputs.lines.")):
                continue
            values = {str(self._value(template, row)) for row in columns}
            if len(values) > 1 and not {"file", "row"} & set(template.columns):
                said = " and ".join(f"“{value[:40]}”" for value in sorted(values)[:2])
                raise RowRejected(
                    _column(template), f"Rows of one transaction do not agree on {key}: {said}."
                )


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
                results[index] = replace(
                    drafts[index], reported=drafts[index].reported._replace(amounts=answer)
                )
    return results


def _column(template: Template) -> str:
    """The column to mend: the first that the template needs."""
    return template.columns[0] if template.columns else ""
