"""How a file's columns become transactions: a mapping, read from TOML and checked before anything is imported.

docs/bring-your-own-data.md is the guide. Values are templates over columns: "{file}:{row}", "meter-{vendor_id}".
"""

import re
import tomllib
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import cached_property
from operator import itemgetter
from pathlib import Path
from string import Formatter
from typing import Any
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from audit.errors import Refused
from transactions.money import MAX_SCALE, UnknownCurrency, currency_exponent

FORMATS = ("csv", "ndjson", "parquet")
POSITION = ("file", "row")
"""Columns that every row has: its file's name without folder and .gz, and its number among the file's data records."""

LONGEST = {
    "source.name": 100,
    "transaction.reference": 200,
    "transaction.store": 128,
    "store.name": 200,
    "calculation.service": 100,
    "calculation.calculator": 100,
    "calculation.version": 64,
}
"""Characters that the database keeps of a value."""
COUNTRY = re.compile(r"(?:[A-Z]{2})?")
_COMPONENT = re.compile(r"[a-z][a-z0-9_]{0,62}")


class WrongMapping(Refused):
    """A mapping cannot be used; its text names the table and key, and the remedy."""


class ColumnMissing(LookupError):
    """A row lacks a column that a template needs."""

    def __init__(self, column: str) -> None:
        super().__init__(column)
        self.column = column


class ColumnNotText(ValueError):
    """A row has a list or a truth value where a template needs a text or a number."""

    def __init__(self, column: str) -> None:
        super().__init__(column)
        self.column = column


class Columns(dict[str, Any]):
    """A row's values by column: texts, and from NDJSON and Parquet truth values and lists, too. Raises `ColumnMissing`."""

    def __missing__(self, column: str) -> Any:
        raise ColumnMissing(column)

    def text(self, column: str) -> str:
        """The column's value as a text. Raises `ColumnMissing`, `ColumnNotText`."""
        value = self[column]
        if type(value) is str:
            return value
        raise ColumnNotText(column)


@dataclass(frozen=True)
class Template:
    """A value made of a row's columns. `columns` are those that it needs."""

    text: str
    parts: tuple[tuple[str, str | None], ...]

    @classmethod
    def compiled(cls, text: object, key: str) -> "Template":
        """The template `text` of the mapping's `key`. Raises `WrongMapping`."""
        if not isinstance(text, str):
            raise WrongMapping(f'{key} must be a text in quotes, such as "{{column}}".')
        if "\0" in text:
            raise WrongMapping(f"{key} holds a NUL character. Remove it.")
        try:
            parsed = list(Formatter().parse(text))
        except ValueError as error:
            raise WrongMapping(
                f'{key} = "{text}" is no template: {error}. Write a column as {{column}}.'
            ) from None
        for _, name, how, conversion in parsed:
            if name == "" or how or conversion:
                raise WrongMapping(
                    f'{key} = "{text}": only plain column names may stand in braces, as {{column}}.'
                )
        return cls(text, tuple((before, name) for before, name, _, _ in parsed))

    @cached_property
    def columns(self) -> tuple[str, ...]:
        """The columns that it needs, as they are named in the file."""
        return tuple(name for _, name in self.parts if name is not None)

    @cached_property
    def is_composed(self) -> bool:
        """Whether it is more than one column as it stands."""
        return len(self.parts) != 1 or self.parts[0][0] != ""

    @cached_property
    def value(self) -> Callable[[Columns], Any]:
        """Gives the value for a row: the column's own where the template is nothing but a column, else a text. Raises `ColumnMissing`."""
        names = self.columns
        constant = "".join(before for before, _ in self.parts)
        if not names:
            return lambda _: constant
        if not self.is_composed:
            return itemgetter(names[0])
        shape = "".join(
            re.sub(r"[{}]", r"\g<0>\g<0>", before) + ("" if name is None else "{}")
            for before, name in self.parts
        )
        return lambda columns: shape.format(*[columns.text(name) for name in names])


@dataclass(frozen=True)
class Mapping:
    """A checked mapping. `scale` None: the currency's own exponent. `amounts` None: the calculator makes them."""

    name: str
    format: str
    timezone: ZoneInfo | None
    group_by: str | None
    defaults: dict[str, str]
    reference: Template
    store: Template
    currency: Template
    occurred_at: Template
    scale: int | None
    service: Template
    calculator: Template
    version: Template
    calculated_at: Template
    amounts: dict[str, Template] | None
    store_name: Template | None = None
    store_country: Template | None = None
    inputs: dict[str, Template] = field(default_factory=dict)
    lines: dict[str, Template] | None = None
    personal: dict[str, Template] = field(default_factory=dict)

    def templates(self) -> Iterator[tuple[str, Template]]:
        """Every template with its key, such as ("transaction.reference", …)."""
        for table, keys in (
            ("transaction", ("reference", "store", "currency", "occurred_at")),
            ("calculation", ("service", "calculator", "version", "calculated_at")),
        ):
            yield from ((f"{table}.{key}", getattr(self, key)) for key in keys)
        for key in ("name", "country"):
            template = getattr(self, f"store_{key}")
            if template is not None:
                yield f"store.{key}", template
        for table, group in (
            ("calculation.amounts", self.amounts),
            ("inputs", self.inputs),
            ("inputs.lines", self.lines),
            ("personal", self.personal),
        ):
            yield from ((f"{table}.{key}", template) for key, template in (group or {}).items())

    def check_columns(self, columns: list[str], file: str) -> None:
        """Raise `WrongMapping` where a template needs a column that `file` has not, and no default stands in for."""
        known = {*columns, *POSITION, *self.defaults}
        for key, template in [*self.templates(), *self._grouping()]:
            for name in template.columns:
                if name not in known:
                    raise WrongMapping(
                        f"{key} needs the column “{name}”, which {file} has not. It has: {', '.join(columns)}."
                    )

    def _grouping(self) -> list[tuple[str, Template]]:
        if self.group_by is None:
            return []
        return [("source.group_by", Template(f"{{{self.group_by}}}", (("", self.group_by),)))]


_TABLES: dict[str, tuple[str, ...]] = {
    "source": ("name", "format", "timezone", "group_by"),
    "transaction": ("reference", "store", "currency", "scale", "occurred_at"),
    "store": ("name", "country"),
    "calculation": ("service", "calculator", "version", "calculated_at", "compute", "amounts"),
}
_FREE = ("defaults", "inputs", "personal")
_NEEDED = {
    "source": ("name",),
    "transaction": ("reference", "store", "currency", "occurred_at"),
    "calculation": ("service", "calculator", "version", "calculated_at"),
}


def read_mapping(path: Path) -> Mapping:
    """The mapping in the TOML file at `path`. Raises `WrongMapping`."""
    try:
        tables = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise WrongMapping(f"The mapping {path} cannot be read: {error.strerror}.") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise WrongMapping(f"The mapping {path} is not TOML: {error}.") from None
    _check_keys(tables)
    source, calculation = tables["source"], tables["calculation"]
    mapping = Mapping(
        name=_text(source["name"], "source.name"),
        format=_format(source.get("format", "csv")),
        timezone=_timezone(source.get("timezone")),
        group_by=None if "group_by" not in source else _text(source["group_by"], "source.group_by"),
        defaults={key: _text(value, f"defaults.{key}") for key, value in tables.get("defaults", {}).items()},
        **_templates(tables["transaction"], "transaction", ("reference", "store", "currency", "occurred_at")),
        scale=_scale(tables["transaction"].get("scale")),
        **_templates(calculation, "calculation", _NEEDED["calculation"]),
        amounts=_amounts(calculation),
        **{f"store_{key}": t for key, t in _group(tables.get("store", {}), "store").items()},
        inputs=_group(
            {k: v for k, v in tables.get("inputs", {}).items() if k != "lines" or isinstance(v, str)},
            "inputs",
        ),
        lines=_lines(tables.get("inputs", {}).get("lines")),
        personal=_group(tables.get("personal", {}), "personal"),
    )
    _check_constants(mapping)
    return mapping


def _check_keys(tables: dict[str, Any]) -> None:
    for table in tables:
        if table not in _TABLES and table not in _FREE:
            raise WrongMapping(
                f"[{table}] is not a table of a mapping. There are: {', '.join([*_TABLES, *_FREE])}."
            )
        if not isinstance(tables[table], dict):
            raise WrongMapping(f"{table} must be a table, as in [{table}].")
    for table, known in _TABLES.items():
        for key in tables.get(table, {}):
            if key not in known:
                raise WrongMapping(
                    f"{table}.{key} is not a key of a mapping. [{table}] has: {', '.join(known)}."
                )
    for table, needed in _NEEDED.items():
        for key in needed:
            if key not in tables.get(table, {}):
                raise WrongMapping(f"{table}.{key} is missing: give it in [{table}].")


def _check_constants(mapping: Mapping) -> None:
    """What stands in the mapping itself and not in a column is checked once, for all rows."""
    if len(mapping.name) > LONGEST["source.name"] or "\0" in mapping.name:
        raise WrongMapping(f"source.name may have {LONGEST['source.name']} characters, and no NUL.")
    for key, template in mapping.templates():
        if template.columns:
            continue
        text = template.value(Columns())
        if len(text) > LONGEST.get(key, len(text)):
            raise WrongMapping(f"{key} has {len(text)} characters, and may have {LONGEST[key]}.")
        if key == "store.country" and not COUNTRY.fullmatch(text):
            raise WrongMapping(f"store.country = “{text}” is no ISO 3166 code of two capitals, such as DE.")
        if key == "transaction.currency":
            try:
                currency_exponent(text)
            except UnknownCurrency as unknown:
                raise WrongMapping(f"transaction.currency: {unknown}") from None


def _text(value: object, key: str) -> str:
    if not isinstance(value, str) or (not value and not key.startswith("defaults.")):
        raise WrongMapping(f"{key} must be a text in quotes.")
    return value


def _format(value: object) -> str:
    if value not in FORMATS:
        raise WrongMapping(f"source.format = {value!r} is not one of {', '.join(FORMATS)}.")
    return str(value)


def _timezone(value: object) -> ZoneInfo | None:
    if value is None:
        return None
    try:
        return ZoneInfo(_text(value, "source.timezone"))
    except (
        ZoneInfoNotFoundError,
        ValueError,
        OSError,
    ):  # OSError: it names a folder of zones, such as “America”
        raise WrongMapping(
            f"source.timezone = “{value}” is no time zone, such as America/New_York."
        ) from None


def _scale(value: object) -> int | None:
    if value is None:
        return None
    if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value <= MAX_SCALE:
        raise WrongMapping(f"transaction.scale = {value!r} must be a whole number from 0 to {MAX_SCALE}.")
    return value


def _templates(table: dict[str, Any], name: str, keys: tuple[str, ...]) -> dict[str, Any]:
    return {key: Template.compiled(table[key], f"{name}.{key}") for key in keys}


def _group(table: dict[str, Any], name: str) -> dict[str, Template]:
    for key in table:
        if "\0" in key:
            raise WrongMapping(f"A key of [{name}] holds a NUL character. Remove it.")
    return {key: Template.compiled(value, f"{name}.{key}") for key, value in table.items()}


def _lines(table: object) -> dict[str, Template] | None:
    if table is None or isinstance(table, str):
        return None
    if not isinstance(table, dict):
        raise WrongMapping("inputs.lines must be a table, as in [inputs.lines], or a template of a list.")
    return _group(table, "inputs.lines")


def _amounts(calculation: dict[str, Any]) -> dict[str, Template] | None:
    compute, amounts = calculation.get("compute", False), calculation.get("amounts")
    if not isinstance(compute, bool):
        raise WrongMapping("calculation.compute must be true or false.")
    if compute == (amounts is not None):
        raise WrongMapping(
            "Give either calculation.compute = true or [calculation.amounts], not both and not neither."
        )
    if amounts is None:
        return None
    for name in amounts if isinstance(amounts, dict) else ():
        if not _COMPONENT.fullmatch(name):
            raise WrongMapping(
                f"calculation.amounts.{name}: a component's name has small letters, digits and _, a letter first."
            )
    if not isinstance(amounts, dict) or "total" not in amounts:
        raise WrongMapping("[calculation.amounts] needs a total.")
    return _group(amounts, "calculation.amounts")
