"""What `perdure.agent` gives: every public name, and nothing imported before it is used."""

import subprocess
import sys

import pytest

import perdure.agent


@pytest.mark.parametrize("name", perdure.agent.__all__)
def test_every_public_name_is_there_and_documented(name: str) -> None:
    found = getattr(perdure.agent, name)
    assert found.__module__.startswith("perdure.")
    assert found.__doc__


def test_what_is_not_there_is_told() -> None:
    with pytest.raises(AttributeError, match=r"'perdure.agent' has no attribute 'Nope'"):
        _ = perdure.agent.Nope
    assert set(perdure.agent.__all__) <= set(dir(perdure.agent))


def test_a_session_without_a_record_imports_nothing_of_it() -> None:
    program = (
        "import sys, perdure\n"
        "with perdure.Store('memory:').open('a') as session: session.state['x'] = 1\n"
        "print(sorted(name for name in sys.modules if name.startswith('perdure.agent')))"
    )
    found = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    assert found.stdout.strip() == "['perdure.agent', 'perdure.agent.on_session']"
