"""Registering calculators, and asking them without trusting them."""

import itertools
import subprocess
import sys
from collections.abc import Callable, Iterator
from decimal import Decimal
from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest

from transactions.calculators import (
    CalculationFailure,
    CalculatorAlreadyRegistered,
    CalculatorModuleNotLoadable,
    CalculatorUnavailable,
    NotACalculator,
    RegisteredCalculator,
    UnknownCalculator,
    ask_twice,
    calculator,
    code_digest,
    load,
    register,
    registry,
    run,
)

ROOT = Path(__file__).parents[2]


@pytest.fixture(autouse=True)
def registered_only_here(monkeypatch: pytest.MonkeyPatch) -> None:
    """What a test registers is gone after it."""
    monkeypatch.setattr(registry, "_registered", dict(registry._registered))


def answering(answer: Callable[..., Any]) -> RegisteredCalculator:
    return RegisteredCalculator(name="test", version="1", module=__name__, calculate=answer)


def fee(inputs: dict[str, Any], scale: int) -> dict[str, int]:
    return {"fee": int(inputs["fee"]), "total": int(inputs["fee"])}


def batch(*fees: str) -> list[tuple[dict[str, Any], int]]:
    return [({"fee": each}, 2) for each in fees]


class TestRegistering:
    def test_a_function_is_found_by_its_name_and_version(self) -> None:
        assert register("parking", "1.0.0")(fee) is fee
        assert calculator("parking", "1.0.0").calculate is fee
        assert calculator("parking", "1.0.0").calculate_many is None

    def test_a_class_is_found_with_all_that_it_can_do(self) -> None:
        @register("parking", "2.0.0")
        class Parking:
            def calculate(self, inputs: dict[str, Any], scale: int) -> dict[str, int]:
                return {"total": 1}

            def calculate_many(self, batch: Any) -> list[dict[str, int]]:
                return [{"total": 1} for _ in batch]

        found = calculator("parking", "2.0.0")
        assert found.calculate({}, 2) == {"total": 1}
        assert found.calculate_many is not None
        assert found.explain is None

    def test_other_code_is_refused_a_name_that_is_taken(self) -> None:
        register("parking", "1.0.0")(fee)
        with pytest.raises(
            CalculatorAlreadyRegistered, match=r"parking 1\.0\.0 is registered already, by .*fee"
        ):
            register("parking", "1.0.0")(lambda inputs, scale: {"total": 0})
        assert calculator("parking", "1.0.0").calculate is fee

    def test_the_same_code_may_be_registered_again(self) -> None:
        register("parking", "1.0.0")(fee)
        register("parking", "1.0.0")(fee)

    @pytest.mark.parametrize("code", [object, "text", 5])
    def test_what_cannot_calculate_is_refused(self, code: Any) -> None:
        with pytest.raises(NotACalculator):
            register("parking", "1.0.0")(code)

    @pytest.mark.parametrize(
        ("name", "version"), [("", "1"), ("Parking Fee", "1"), ("parking", ""), ("parking", "1 0")]
    )
    def test_a_name_or_version_that_cannot_be_one_is_refused(self, name: str, version: str) -> None:
        with pytest.raises(NotACalculator):
            register(name, version)(fee)

    def test_an_unknown_calculator_is_refused_with_the_known_ones(self) -> None:
        load([])
        with pytest.raises(UnknownCalculator, match=r"pricing 9\.9\.9.*pricing 1\.9\.0, pricing 2\.0\.0"):
            calculator("pricing", "9.9.9")


class TestLoading:
    @pytest.fixture
    def folder(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
        before = set(sys.modules)
        monkeypatch.syspath_prepend(tmp_path)
        yield tmp_path
        for module in set(sys.modules) - before:
            if (getattr(sys.modules[module], "__file__", None) or "").startswith(str(tmp_path)):
                del sys.modules[module]

    def test_a_module_named_by_the_setting_registers_its_calculators(self, folder: Path) -> None:
        (folder / "our_calculators.py").write_text(
            "from transactions.calculators import register\n"
            "@register('ours', '1')\n"
            "def calculate(inputs, scale):\n    return {'total': 7}\n"
        )
        load(["our_calculators"])
        assert run(calculator("ours", "1"), [({}, 2)]) == [{"total": 7}]

    def test_an_installed_package_offers_calculators_by_its_entry_point(self, folder: Path) -> None:
        (folder / "offered.py").write_text(
            "from transactions.calculators import register\n"
            "@register('offered', '1')\n"
            "def calculate(inputs, scale):\n    return {'total': 8}\n"
        )
        info = folder / "offered-1.0.dist-info"
        info.mkdir()
        (info / "METADATA").write_text("Metadata-Version: 2.1\nName: offered\nVersion: 1.0\n")
        (info / "entry_points.txt").write_text("[amends.calculators]\nours = offered\n")
        load([])
        assert run(calculator("offered", "1"), [({}, 2)]) == [{"total": 8}]

    def test_a_module_that_cannot_be_imported_is_named(self, folder: Path) -> None:
        (folder / "broken_calculators.py").write_text("1 / 0\n")
        with pytest.raises(
            CalculatorModuleNotLoadable, match="broken_calculators cannot be imported: ZeroDivisionError"
        ):
            load(["broken_calculators"])
        with pytest.raises(CalculatorModuleNotLoadable, match="no_such_module_here"):
            load(["no_such_module_here"])


class TestAsking:
    def test_answers_come_in_the_order_of_the_batch(self) -> None:
        assert run(answering(fee), batch("5", "3")) == [{"fee": 5, "total": 5}, {"fee": 3, "total": 3}]

    def test_a_row_that_raises_fails_alone_and_says_why(self) -> None:
        first, failed, last = run(answering(fee), batch("5", "five", "3"))
        assert first == {"fee": 5, "total": 5}
        assert last == {"fee": 3, "total": 3}
        assert isinstance(failed, CalculationFailure)
        assert "five" in failed.reason

    def test_a_row_that_spoils_the_batch_fails_alone(self) -> None:
        def many(rows: Any) -> Any:
            return [fee(*row) for row in rows]

        spoilt = RegisteredCalculator("test", "1", __name__, calculate=fee, calculate_many=many)
        answers = run(spoilt, batch("5", "five", "3"))
        assert [isinstance(answer, CalculationFailure) for answer in answers] == [False, True, False]

    def test_missing_inputs_are_named(self) -> None:
        assert run(answering(fee), [({}, 2)]) == [CalculationFailure("The inputs have no 'fee'.")]

    @pytest.mark.parametrize("broken", [lambda rows: [{"total": 1}], lambda rows: None, lambda rows: "ab"])
    def test_a_batch_answer_of_another_length_or_kind_fails_every_row(self, broken: Any) -> None:
        spoilt = RegisteredCalculator("test", "1", __name__, calculate=fee, calculate_many=broken)
        answers = run(spoilt, batch("1", "2", "3"))
        assert len(answers) == 3
        assert all(isinstance(answer, CalculationFailure) and "3 rows" in answer.reason for answer in answers)

    @pytest.mark.parametrize(
        ("answer", "reason"),
        [
            ({"total": 1.0}, "total is 1.0 (float)"),
            ({"total": Decimal("1")}, "total is 1 (Decimal)"),
            ({"total": Fraction(1, 3)}, "total is 1/3 (Fraction)"),
            ({"total": True}, "total is True (bool)"),
            ({"total": float("nan")}, "total is nan (float)"),
            ({"total": float("inf")}, "total is inf (float)"),
            ({"total": "5"}, "total is 5 (str)"),
            ({"total": None}, "total is nothing"),
            ({"tax": 1.5, "total": 1}, "tax is 1.5 (float)"),
            ({"total": 2**63}, "total does not fit"),
            ({"total": -(2**63) - 1}, "total does not fit"),
            ({"fee": 5}, "no total"),
            ({}, "no total"),
            ({"Total": 5, "total": 5}, "'Total' is not a component's name"),
            ({"a b": 5, "total": 5}, "'a b' is not a component's name"),
            ({1: 5, "total": 5}, "1 is not a component's name"),
            (None, "answered nothing, not amounts"),
            (5, "answered 5 (int), not amounts"),
            ([("total", 5)], "not amounts"),
        ],
    )
    def test_what_is_not_whole_amounts_with_a_total_is_refused(self, answer: Any, reason: str) -> None:
        (result,) = run(answering(lambda inputs, scale: answer), [({}, 2)])
        assert isinstance(result, CalculationFailure)
        assert reason in result.reason

    def test_the_largest_amounts_that_the_database_holds_are_answers(self) -> None:
        extreme = {"fee": -(2**63), "total": 2**63 - 1}
        assert run(answering(lambda inputs, scale: extreme), [({}, 2)]) == [extreme]

    def test_an_answer_that_is_used_again_for_the_next_row_spoils_nothing(self) -> None:
        kept: dict[str, int] = {}

        def thrifty(inputs: dict[str, Any], scale: int) -> dict[str, int]:
            kept["total"] = int(inputs["fee"])
            return kept

        assert run(answering(thrifty), batch("1", "2")) == [{"total": 1}, {"total": 2}]

    def test_a_reason_can_be_stored_and_is_never_long(self) -> None:
        def raising(inputs: dict[str, Any], scale: int) -> dict[str, int]:
            raise ValueError("a\0b\ud800" + "x" * 100_000)

        (result,) = run(answering(raising), [({}, 2)])
        assert isinstance(result, CalculationFailure)
        assert result.reason.startswith("a␀b?x")
        assert len(result.reason) == 500

    def test_an_unavailable_calculator_fails_no_row(self) -> None:
        def absent(*_: Any) -> Any:
            raise CalculatorUnavailable("down")

        with pytest.raises(CalculatorUnavailable):
            run(answering(absent), batch("1"))
        with pytest.raises(CalculatorUnavailable):
            run(RegisteredCalculator("test", "1", __name__, calculate=fee, calculate_many=absent), batch("1"))


class TestAskingTwice:
    def test_the_same_answer_twice_is_an_answer(self) -> None:
        assert ask_twice(answering(fee), batch("5", "x")) == run(answering(fee), batch("5", "x"))

    def test_an_answer_that_changes_is_refused_for_that_row_only(self) -> None:
        calls = itertools.count()

        def moody(inputs: dict[str, Any], scale: int) -> dict[str, int]:
            return {"total": next(calls) if inputs["fee"] == "moody" else 1}

        steady, changing = ask_twice(answering(moody), batch("steady", "moody"))
        assert steady == {"total": 1}
        assert changing == CalculationFailure(
            "The calculator answers differently when asked twice: total 0 and then total 1."
        )

    def test_a_calculator_that_remembers_the_row_before_is_refused(self) -> None:
        before: list[str] = [""]

        def remembering(inputs: dict[str, Any], scale: int) -> dict[str, int]:
            before.append(inputs["fee"])
            return {"total": int(before[-2] or 0)}

        assert all(
            isinstance(answer, CalculationFailure)
            for answer in ask_twice(answering(remembering), batch("1", "2", "3"))
        )

    def test_a_calculator_that_changes_its_inputs_cannot_hide_it_from_the_second_asking(self) -> None:
        def emptying(inputs: dict[str, Any], scale: int) -> dict[str, int]:
            return {"total": len(inputs["lines"]) and inputs["lines"].pop()}

        given: list[tuple[dict[str, Any], int]] = [({"lines": [7, 5], "huge": 10**30}, 2)]
        assert ask_twice(answering(emptying), given) == [{"total": 5}]

    def test_a_failure_that_comes_and_goes_is_told_with_both_answers(self) -> None:
        calls = itertools.count()

        def flaky(inputs: dict[str, Any], scale: int) -> dict[str, int]:
            if next(calls):
                raise ValueError("no luck")
            return {"total": 4}

        (answer,) = ask_twice(answering(flaky), batch("1"))
        assert answer == CalculationFailure(
            "The calculator answers differently when asked twice: total 4 and then no luck."
        )


class TestCodeDigest:
    @pytest.fixture
    def digest(self, tmp_path: Path) -> Callable[[], str]:
        (tmp_path / "our_rates.py").write_text("RATE = 5\n")
        (tmp_path / "ours.py").write_text(
            "from transactions.calculators import register\n"
            "@register('ours', '1')\n"
            "def calculate(inputs, scale):\n"
            "    from our_rates import RATE\n"
            "    return {'total': RATE}\n"
        )

        def in_a_new_process() -> str:
            script = (
                f"import sys; sys.path[:0] = [{str(tmp_path)!r}, {str(ROOT)!r}]\n"
                "from transactions.calculators import code_digest, load\n"
                "load(['ours']); print(code_digest('ours', '1'))"
            )
            done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
            return done.stdout.strip()

        return in_a_new_process

    def test_every_process_comes_to_the_same_digest(self, digest: Callable[[], str]) -> None:
        assert len(digest()) == 64
        assert digest() == digest()

    def test_a_change_of_the_module_or_of_one_it_imports_changes_it(
        self, digest: Callable[[], str], tmp_path: Path
    ) -> None:
        before = digest()
        (tmp_path / "our_rates.py").write_text("RATE = 6\n")
        after = digest()
        assert after != before
        with (tmp_path / "ours.py").open("a") as module:
            module.write("# changed\n")
        assert digest() not in {before, after}

    def test_a_module_that_is_not_imported_does_not_change_it(
        self, digest: Callable[[], str], tmp_path: Path
    ) -> None:
        before = digest()
        (tmp_path / "unrelated.py").write_text("X = 1\n")
        assert digest() == before

    def test_releases_of_one_calculator_have_digests_of_their_own(self) -> None:
        load([])
        assert len({code_digest("pricing", version) for version in ("1.8.0", "1.9.0", "2.0.0")}) == 3
