"""Calculators: what a service charges, as pure functions of a transaction's inputs.

A calculator is registered for a name and a version, by a decorator on a function or a class:

    from transactions.calculators import register

    @register("parking", "1.0.0")
    def calculate(inputs, scale):
        ...
        return {"fee": 450, "total": 450}

Nothing in this package knows the database or the settings; docs/write-a-calculator.md is the guide.
"""

from transactions.calculators.guarded import answers_again, ask_twice, run
from transactions.calculators.protocol import (
    Amounts,
    Batch,
    CalculationFailure,
    Calculator,
    CalculatorUnavailable,
    Inputs,
    Result,
    Step,
)
from transactions.calculators.registry import (
    CalculatorAlreadyRegistered,
    CalculatorModuleNotLoadable,
    NotACalculator,
    RegisteredCalculator,
    UnknownCalculator,
    calculator,
    code_digest,
    load,
    register,
    registered,
)

__all__ = [
    "Amounts",
    "Batch",
    "CalculationFailure",
    "Calculator",
    "CalculatorAlreadyRegistered",
    "CalculatorModuleNotLoadable",
    "CalculatorUnavailable",
    "Inputs",
    "NotACalculator",
    "RegisteredCalculator",
    "Result",
    "Step",
    "UnknownCalculator",
    "answers_again",
    "ask_twice",
    "calculator",
    "code_digest",
    "load",
    "register",
    "registered",
    "run",
]
