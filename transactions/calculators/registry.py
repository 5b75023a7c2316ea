"""Which code calculates for a name and a version."""

import re
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass, field, replace
from functools import cached_property, partial
from importlib import import_module
from importlib.metadata import entry_points
from inspect import isclass, isroutine, unwrap
from typing import Any, TypeVar

from transactions.calculators.code_digest import CodeNotFound, digest_of_module
from transactions.calculators.protocol import Amounts, Batch, Inputs, Result, Step

ENTRY_POINT_GROUP = "amends.calculators"
SHIPPED = ("transactions.calculators.pricing",)

_NAME = re.compile(r"[a-z0-9][a-z0-9._-]{0,99}")
_VERSION = re.compile(r"[A-Za-z0-9][A-Za-z0-9.+_-]{0,63}")

Code = TypeVar("Code", bound=Callable[..., Any])


class UnknownCalculator(LookupError):
    """No code is registered for a name and version. The message lists what there is."""


class CalculatorAlreadyRegistered(ValueError):
    """Two pieces of code claim one name and version."""


class NotACalculator(TypeError):
    """What was to be registered has no `calculate`, or a name or version that cannot be one."""


class CalculatorModuleNotLoadable(ImportError):
    """A module that should register calculators does not exist, or raised while it was imported."""


@dataclass(frozen=True)
class RegisteredCalculator:
    """The code of one calculator at one version.

    `calculate_many` and `explain` are None where the code has none.
    """

    name: str
    version: str
    module: str
    calculate: Callable[[Inputs, int], Amounts]
    calculate_many: Callable[[Batch], list[Result]] | None = None
    explain: Callable[[Inputs, int], list[Step]] | None = None
    definition: tuple[str, str, int] = field(default=("", "", 0), repr=False)
    """Module, qualified name and line of the code, by which a second import of the same code is known."""

    def __str__(self) -> str:
        return f"{self.name} {self.version}"

    def without_batches(self) -> "RegisteredCalculator":
        """The same calculator, asked a row at a time."""
        return replace(self, calculate_many=None)

    @cached_property
    def code_digest(self) -> str:
        """SHA-256 (hex) over the source of its module and of all that it imports; see `code_digest.py`.

        Taken once a process: the code that runs is what was read at its start, whatever lies on the disk
        later. Raises `CodeNotFound`.
        """
        return digest_of_module(self.module, self.name, self.version)


_registered: dict[tuple[str, str], RegisteredCalculator] = {}


def register(name: str, version: str) -> Callable[[Code], Code]:
    """Register the decorated function `calculate(inputs, scale)`, or class with that method, for a name and
    version.

    A class is instantiated once, without arguments. Importing the same code again is fine. Raises
    `CalculatorAlreadyRegistered` where other code has the place, `NotACalculator` where it cannot be one.
    """

    def decorate(code: Code) -> Code:
        candidate = _as_calculator(name, version, code)
        standing = _registered.get((name, version))
        if standing is not None and standing.definition != candidate.definition:
            raise CalculatorAlreadyRegistered(
                f"{candidate} is registered already, by {standing.definition[0]}.{standing.definition[1]}. "
                f"Give {candidate.definition[0]}.{candidate.definition[1]} another version."
            )
        _registered[name, version] = candidate
        return code

    return decorate


def _as_calculator(name: str, version: str, code: Callable[..., Any]) -> RegisteredCalculator:
    if not _NAME.fullmatch(name) or not _VERSION.fullmatch(version):
        raise NotACalculator(
            f"“{name}” “{version}” cannot name a calculator: use small letters, digits and - . _ for its "
            "name, and a version such as 1.0.0."
        )
    calculate: Any = code if isroutine(code) else None
    instance = code() if isclass(code) else None
    if instance is not None:
        calculate = getattr(instance, "calculate", None)
    if not callable(calculate):
        raise NotACalculator(
            f"{code!r} is neither a function nor a class with the method calculate(inputs, scale)."
        )
    return RegisteredCalculator(
        name=name,
        version=version,
        module=code.__module__,
        calculate=calculate,
        calculate_many=getattr(instance, "calculate_many", None),
        explain=getattr(instance, "explain", None),
        definition=(code.__module__, code.__qualname__, _line_of(calculate)),
    )


def _line_of(calculate: Callable[..., Any]) -> int:
    plain = unwrap(calculate)
    compiled = getattr(getattr(plain, "__func__", plain), "__code__", None)
    return 0 if compiled is None else int(compiled.co_firstlineno)


def calculator(name: str, version: str) -> RegisteredCalculator:
    """The code registered for `name` and `version`. Raises `UnknownCalculator`."""
    try:
        return _registered[name, version]
    except KeyError:
        known = ", ".join(str(each) for each in registered()) or "none"
        raise UnknownCalculator(
            f"No code is registered for {name} {version}. Registered are: {known}. "
            "Add a calculator's module to AMENDS_CALCULATORS."
        ) from None


def registered() -> list[RegisteredCalculator]:
    """Every registered calculator, by name and version."""
    return [_registered[key] for key in sorted(_registered)]


def code_digest(name: str, version: str) -> str:
    """SHA-256 (hex) of the code that calculates for `name` and `version`. Raises `UnknownCalculator`,
    `CodeNotFound`.
    """
    return calculator(name, version).code_digest


def load(modules: Iterable[str]) -> None:
    """Import the shipped calculators, `modules`, and what installed packages offer as `amends.calculators`.

    Their code's digests are taken here, at the start, so that they tell of the code that runs. Raises
    `CalculatorModuleNotLoadable`; then those before it are registered, and none after it.
    """
    for module in (*SHIPPED, *modules):
        _import(module, partial(import_module, module))
    for entry_point in sorted(entry_points(group=ENTRY_POINT_GROUP), key=lambda each: each.value):
        _import(f"{entry_point.value} (entry point {entry_point.name})", entry_point.load)
    for each in registered():
        with suppress(CodeNotFound):  # Raised again where somebody asks for that digest.
            _ = each.code_digest


def _import(what: str, how: Callable[[], Any]) -> None:
    try:
        how()
    except (CalculatorAlreadyRegistered, NotACalculator):
        raise
    except (
        Exception
    ) as error:  # Somebody else's module: whatever it raises, the message must say whose it was.
        raise CalculatorModuleNotLoadable(
            f"The calculator module {what} cannot be imported: {type(error).__name__}: {error}"
        ) from error
