"""Options and profiles of the whole suite."""

import gc
import os
import signal
import sys
from collections.abc import Callable, Generator

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


@pytest.fixture
def tell(request: pytest.FixtureRequest) -> Callable[[str], None]:
    """Says what a test counted, below the results of the run."""
    return lambda text: request.node.user_properties.append(("told", text))


@pytest.hookimpl(wrapper=True)
def pytest_collection() -> Generator[None, object, object]:
    """What is collected stays to the end: no collection of garbage need look at it."""
    gc.disable()
    try:
        return (yield)
    finally:
        gc.freeze()
        gc.enable()


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    told = [
        (report.nodeid.rpartition("::")[2], text)
        for report in terminalreporter.getreports("passed")
        for name, text in report.user_properties
        if name == "told" and report.when == "call"
    ]
    if told:
        terminalreporter.section("counted")
        for name, text in sorted(told):
            terminalreporter.line(f"{name}: {text}")


def keep_bytecode() -> None:
    """Hundreds of processes are started: what they import is compiled once for all of them."""
    sys.dont_write_bytecode = False
    os.environ.pop("PYTHONDONTWRITEBYTECODE", None)


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


keep_bytecode()
heed_interrupts()
load_hypothesis_profile()
