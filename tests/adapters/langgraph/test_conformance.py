"""LangGraph's own tests of checkpointers, extended capabilities included."""

import asyncio
import subprocess
import sys
from collections.abc import AsyncGenerator
from pathlib import Path
from typing import Any

import pytest
from langgraph.checkpoint.conformance import checkpointer_test, validate

from perdure.adapters.langgraph import PerdureSaver

TESTS = 81
"""How many there are: none may be left out unseen."""


@pytest.mark.parametrize("url", ["memory:", "agents.db"])
def test_all_tests_of_the_conformance_suite_pass(url: str, tmp_path: Path) -> None:
    names = iter(range(100))

    async def factory() -> AsyncGenerator[PerdureSaver, None]:
        place = url if url == "memory:" else str(tmp_path / f"{next(names)}-{url}")
        with PerdureSaver(place) as saver:
            yield saver

    registered: Any = checkpointer_test(name="PerdureSaver")(factory)
    report = asyncio.run(validate(registered))
    failures = [each for result in report.results.values() for each in result.failures]
    assert failures == []
    assert report.conformance_level() == "FULL"
    assert sum(result.tests_passed for result in report.results.values()) == TESTS


def test_without_langgraph_the_import_says_what_to_install(tmp_path: Path) -> None:
    (tmp_path / "langgraph.py").write_text("raise ModuleNotFoundError('none', name='langgraph')")
    code = f"import sys; sys.path.insert(0, {str(tmp_path)!r}); import perdure.adapters.langgraph"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert run.returncode == 1 and "install Perdure with its extra langgraph" in run.stderr
