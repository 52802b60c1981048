"""Options and profiles of the whole suite."""

import os
import signal

import pytest
from hypothesis import HealthCheck, settings


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--kills",
        type=int,
        default=100,
        help="how many times each crash test kills a writing process (default: 100)",
    )


@pytest.fixture(scope="session")
def kills(request: pytest.FixtureRequest) -> int:
    """How many times a crash test kills its process."""
    count = request.config.getoption("--kills")
    assert isinstance(count, int)
    return count


def heed_interrupts() -> None:
    """Processes that are interrupted inherit how interrupts are met: a shell's job ignores them."""
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


def load_hypothesis_profile() -> None:
    """PERDURE_HYPOTHESIS=thorough searches long; under CI a run depends on the code alone."""
    settings.register_profile(
        "default",
        max_examples=60,
        stateful_step_count=30,
        # Machines that are shared stall: time is no failure of a property.
        deadline=None,
        suppress_health_check=[HealthCheck.too_slow],
        derandomize=bool(os.environ.get("CI")),
    )
    settings.register_profile(
        "thorough",
        settings.get_profile("default"),
        max_examples=5_000,
        stateful_step_count=100,
        derandomize=False,
    )
    settings.load_profile(os.environ.get("PERDURE_HYPOTHESIS", "default"))


heed_interrupts()
load_hypothesis_profile()
