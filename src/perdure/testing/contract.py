"""The backend contract as checks that any backend can be put through.

`CHECKS` are plain functions that take `make`, which opens a backend on one and the same store at
every call, and raise `AssertionError` where the backend breaks the sentence in their docstring.
They use keys and incarnations of their own, so one store serves them all. `run` needs no pytest;
`perdure.testing.contract_pytest` makes a test of each.

Example:
    >>> from perdure.backends.memory import MemoryBackend
    >>> run(lambda: MemoryBackend("doctest"), report=lambda line: None)
    True
"""

from __future__ import annotations

import argparse
import os
import shutil
import sys
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from types import ModuleType
from typing import Any, TypeAlias

from perdure.backends.url import backend_for
from perdure.errors import InvalidStoreURL
from perdure.testing import (
    contract_checks,
    contract_erasing,
    contract_keys,
    contract_known,
    contract_pages,
    contract_rows,
    contract_staging,
    contract_threads,
)
from perdure.testing.contract_kit import Make

Check: TypeAlias = Callable[[Make], None]


def _checks_of(module: ModuleType) -> list[Check]:
    members: dict[str, Any] = vars(module)
    return [value for name, value in members.items() if name.startswith("check_")]


_MODULES = (
    contract_checks,
    contract_erasing,
    contract_keys,
    contract_rows,
    contract_pages,
    contract_known,
    contract_staging,
    contract_threads,
)
CHECKS: tuple[Check, ...] = tuple(check for module in _MODULES for check in _checks_of(module))
"""Every check, in the order in which they are best read."""


def sentence(check: Check) -> str:
    """The sentence of the contract that a check is about."""
    return " ".join((check.__doc__ or "").split())


def write_line(line: str) -> None:
    """Print to standard output."""
    sys.stdout.write(f"{line}\n")


def run(make: Make, report: Callable[[str], None] = write_line) -> bool:
    """Put a backend through every check, reporting each; whether it passed them all."""
    failed = 0
    for check in CHECKS:
        try:
            check(make)
        except Exception as error:  # whatever a backend under test raises is its failure
            failed += 1
            report(f"FAILED  {sentence(check)}")
            report(f"        {check.__name__}: {type(error).__name__}: {error}")
        else:
            report(f"passed  {sentence(check)}")
    report(f"{len(CHECKS) - failed} passed, {failed} failed")
    return not failed


def main(argv: Sequence[str]) -> int:
    """Check the backend that a URL names, on a scratch store beside it; the exit code."""
    parser = argparse.ArgumentParser(
        prog="python -m perdure.testing contract",
        description="Put the backend of a store's URL through the backend contract.",
    )
    parser.add_argument("url", help="where a store could be, such as sqlite:///scratch.db")
    url = parser.parse_args(argv).url
    try:
        path = getattr(backend_for(url), "path", None)
    except InvalidStoreURL as error:
        parser.error(str(error))
    if path is None:
        # A private store in memory would be another one at each call of `make`.
        shared = url if url.rpartition(":")[2] else f"{url}contract-{os.getpid()}"
        return 0 if run(lambda: backend_for(shared)) else 1
    if os.path.exists(path):
        parser.error(f"{path} exists; name a file that does not, the checks would write to it")
    if not os.path.isdir(os.path.dirname(path)):
        parser.error(f"there is no directory {os.path.dirname(path)}")
    scratch = Path(tempfile.mkdtemp(prefix=f"{os.path.basename(path)}-", dir=Path(path).parent))
    try:
        return 0 if run(lambda: backend_for(scratch / "contract.db")) else 1
    finally:
        shutil.rmtree(scratch)
