"""`manage.py check_calculator`: what a new calculator must show before anybody relies on it."""

import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from transactions.calculators import calculator, load, registry
from transactions.calculators.conformance import Problem, VectorsUnreadable, check, read_vectors

ROOT = Path(__file__).parents[2]
VECTORS = ROOT / "transactions/calculators/pricing/vectors_2_0_0.ndjson"
ONE = {"inputs": {"fee": "5"}, "scale": 2, "amounts": {"total": 5}}

CALCULATORS = """
import itertools
from transactions.calculators import Step, register

calls = itertools.count()

@register("good", "1")
class Good:
    def calculate(self, inputs, scale):
        return {"total": int(inputs["fee"])}
    def calculate_many(self, batch):
        return [self.calculate(inputs, scale) for inputs, scale in batch]
    def explain(self, inputs, scale):
        return [Step("Fee", int(inputs["fee"]))]

@register("moody", "1")
def moody(inputs, scale):
    return {"total": next(calls)}

@register("fraction", "1")
def fraction(inputs, scale):
    return {"total": 5.0}

@register("no-total", "1")
def no_total(inputs, scale):
    return {"fee": 5}

@register("emptying", "1")
def emptying(inputs, scale):
    return {"total": int(inputs.pop("fee"))}

@register("two-minds", "1")
class TwoMinds(Good):
    def calculate_many(self, batch):
        return [{"total": 5} for _ in batch]
    def calculate(self, inputs, scale):
        return {"total": 4}
    explain = None

@register("odd-steps", "1")
class OddSteps(Good):
    def explain(self, inputs, scale):
        return [Step("Fee", 4)]
"""


def checked(
    tmp_path: Path, name: str, version: str, vectors: Path, *options: str, calculators: str = CALCULATORS
) -> subprocess.CompletedProcess[str]:
    (tmp_path / "calculators_to_check.py").write_text(calculators)
    return subprocess.run(
        [sys.executable, "manage.py", "check_calculator", name, version, "--vectors", str(vectors), *options],
        cwd=ROOT,
        env={
            **os.environ,
            "PYTHONPATH": str(tmp_path),
            "AMENDS_CALCULATORS": "calculators_to_check",
            "DJANGO_SETTINGS_MODULE": "backoffice.settings",
        },
        capture_output=True,
        text=True,
    )


@pytest.fixture
def loaded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The calculators above, registered in this process for one test."""
    (tmp_path / "calculators_to_check.py").write_text(CALCULATORS)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(registry, "_registered", dict(registry._registered))
    load(["calculators_to_check"])
    yield
    del sys.modules["calculators_to_check"]


def vectors_file(tmp_path: Path, *vectors: dict[str, Any]) -> Path:
    path = tmp_path / "vectors.ndjson"
    path.write_text("".join(json.dumps(vector) + "\n" for vector in vectors))
    return path


def test_a_calculator_that_conforms_is_told_so_with_its_code_digest(tmp_path: Path) -> None:
    done = checked(tmp_path, "pricing", "2.0.0", VECTORS, "--json")
    report = json.loads(done.stdout)
    assert done.returncode == 0
    assert (report["conforms"], report["vectors"], report["problems"]) == (True, 4, [])
    assert len(report["code_digest"]) == 64


def test_people_read_that_it_conforms(tmp_path: Path) -> None:
    done = checked(tmp_path, "good", "1", vectors_file(tmp_path, ONE))
    assert done.returncode == 0
    assert "good 1 conforms: 1 vectors" in done.stdout


def test_another_release_does_not_answer_the_vectors(tmp_path: Path) -> None:
    done = checked(tmp_path, "pricing", "1.9.0", VECTORS, "--json")
    report = json.loads(done.stdout)
    assert done.returncode == 1
    assert report["conforms"] is False
    assert [(problem["vector"], problem["rule"]) for problem in report["problems"]] == [
        (1, "vectors"),
        (2, "vectors"),
    ]
    assert "total 5678" in report["problems"][0]["message"]
    assert "total 5627" in report["problems"][0]["message"]
    assert "pricing 1.9.0 does not conform" in done.stderr


@pytest.mark.parametrize(
    ("name", "rule", "message"),
    [
        ("moody", "answer", "answers differently when asked twice"),
        ("fraction", "answer", "total is 5.0 (float)"),
        ("no-total", "answer", "no total"),
        ("emptying", "inputs", "changes the inputs"),
        ("two-minds", "calculate_many", "In a batch it answers total 5, alone total 4."),
        ("odd-steps", "explain", "The steps add up to 4, and the total is 5."),
    ],
)
def test_each_rule_is_checked(loaded: None, tmp_path: Path, name: str, rule: str, message: str) -> None:
    (problem,) = check(calculator(name, "1"), read_vectors(vectors_file(tmp_path, ONE)))
    assert problem.vector == 1
    assert problem.rule == rule
    assert message in problem.message


def test_a_vector_that_should_be_refused_and_is_not_is_a_problem(loaded: None, tmp_path: Path) -> None:
    vectors = vectors_file(tmp_path, {"inputs": {"fee": "5"}, "scale": 2, "fails": True}, ONE)
    assert check(calculator("good", "1"), read_vectors(vectors)) == [
        Problem(1, "answer", "Not refused: total 5.")
    ]


def test_vectors_may_be_one_json_list(tmp_path: Path) -> None:
    path = tmp_path / "vectors.json"
    path.write_text(json.dumps([ONE, ONE], indent=1))
    assert len(read_vectors(path)) == 2


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("", "holds no vectors"),
        ("[]", "holds no vectors"),
        ("nonsense", "line 1: "),
        (json.dumps(ONE) + '\n{"inputs": {}, "scale": 2, "amounts": {"total": 1.5}}', "line 2: "),
        ('{"inputs": {}, "scale": 2}', 'vector 1 needs either "amounts" or "fails"'),
        ('{"inputs": {}, "scale": 2, "amount": {"total": 1}}', "unknown field `amount`"),
    ],
)
def test_vectors_that_cannot_be_read_are_refused_with_the_place(
    tmp_path: Path, content: str, message: str
) -> None:
    path = tmp_path / "vectors.ndjson"
    path.write_text(content)
    with pytest.raises(VectorsUnreadable, match=re.escape(message)):
        read_vectors(path)


def test_a_missing_file_and_an_unknown_calculator_are_usage_errors(tmp_path: Path) -> None:
    missing = checked(tmp_path, "good", "1", tmp_path / "none.json")
    assert missing.returncode == 2
    assert "cannot be read: No such file" in missing.stderr
    unknown = checked(tmp_path, "good", "2", vectors_file(tmp_path, ONE))
    assert unknown.returncode == 2
    assert "No code is registered for good 2. Registered are: emptying 1," in unknown.stderr


def test_the_example_of_the_guide_conforms_to_its_vectors(tmp_path: Path) -> None:
    guide = (ROOT / "docs/write-a-calculator.md").read_text()
    code = re.search(r"```python\n(.*?)```", guide, re.DOTALL)
    vectors = re.search(r"cat parking.ndjson\n(.*?)\n\$", guide, re.DOTALL)
    assert code is not None
    assert vectors is not None
    (tmp_path / "parking.ndjson").write_text(vectors[1])
    done = checked(tmp_path, "parking", "1.1.0", tmp_path / "parking.ndjson", calculators=code[1])
    assert done.stderr == ""
    assert "parking 1.1.0 conforms: 3 vectors" in done.stdout
