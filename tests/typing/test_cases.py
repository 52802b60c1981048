"""Type checkers accept what users write, and see the mistakes that are marked "# error"."""

import json
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

CASES = sorted((Path(__file__).parent / "cases").glob("*.py"))
ROOT = Path(__file__).parents[2]


def marked(case: Path) -> set[int]:
    lines = case.read_text().splitlines()
    return {number for number, line in enumerate(lines, 1) if line.endswith("# error")}


def mistakes_by_mypy(case: Path) -> set[int]:
    run = subprocess.run(
        [*(sys.executable, "-m", "mypy", "--strict", "--no-error-summary"), case],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert not run.stderr
    found = re.findall(r"^(.+?):(\d+): error: ", run.stdout, re.MULTILINE)
    assert {Path(name).name for name, _ in found} <= {case.name}, run.stdout
    return {int(line) for _, line in found}


def mistakes_by_pyright(case: Path) -> set[int]:
    run = subprocess.run(
        [*(sys.executable, "-m", "pyright", "--outputjson", "--pythonpath", sys.executable), case],
        cwd=case.parent,
        capture_output=True,
        text=True,
        check=False,
    )
    found = json.loads(run.stdout)["generalDiagnostics"]
    return {each["range"]["start"]["line"] + 1 for each in found if each["severity"] == "error"}


@pytest.mark.parametrize("mistakes", [mistakes_by_mypy, mistakes_by_pyright])
@pytest.mark.parametrize("case", CASES, ids=lambda case: case.stem)
def test_type_checkers_see_the_marked_mistakes_and_no_others(
    case: Path, mistakes: Callable[[Path], set[int]]
) -> None:
    assert mistakes(case) == marked(case) != set()
