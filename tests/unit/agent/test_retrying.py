"""How long a step waits before it is tried again."""

import subprocess
import sys

import pytest
import tenacity

from perdure import limits
from perdure.agent.retrying import pause


def test_seconds_a_function_and_a_strategy_of_tenacity() -> None:
    assert pause(0.25, 3) == 0.25
    assert pause(lambda tried: tried * 2, 3) == 6
    assert pause(tenacity.wait_fixed(4), 3) == 4
    assert pause(tenacity.wait_incrementing(start=1, increment=2), 3) == 5


@pytest.mark.parametrize("tried", [1, 2, 3, 50])
def test_by_default_it_grows_with_jitter_up_to_a_limit(tried: int) -> None:
    first, most = limits.step_backoff_first_s, limits.step_backoff_max_s
    least = min(first * 2 ** (tried - 1), most - first)
    assert least <= pause(None, tried) <= least + first


def test_without_tenacity_the_default_says_what_to_do() -> None:
    program = (
        "import sys; sys.modules['tenacity'] = None\n"
        "from perdure.agent.retrying import pause\n"
        "from perdure.errors import UsageError\n"
        "assert pause(1, 1) == 1 and pause(float, 2) == 2\n"
        "try: pause(None, 1)\n"
        "except UsageError as error: print(error)"
    )
    found = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    assert "pip install 'perdure[agent]'" in found.stdout
