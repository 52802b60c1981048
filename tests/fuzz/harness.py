"""Fuzzing by coverage, for as long as one likes: `make fuzz`, with atheris installed.

python -m tests.fuzz.harness tests/fuzz/corpus -max_total_time=60
"""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Sequence


def main(argv: Sequence[str]) -> int:
    """Let atheris look for inputs; new ones that reach further are put into the first corpus."""
    if importlib.util.find_spec("atheris") is None:
        sys.stderr.write("atheris is not installed: pip install atheris (for this Python)\n")
        return 2
    import atheris

    with atheris.instrument_imports(include=["perdure"]):
        from tests.fuzz.targets import run

    atheris.Setup(list(argv), run)
    atheris.Fuzz()
    return 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv))
