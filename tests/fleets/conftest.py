"""The wheels of the example package, built and installed once for all tests of a process."""

from pathlib import Path

import pytest
from tests.fleets.versions import install


@pytest.fixture(scope="session")
def installed(tmp_path_factory: pytest.TempPathFactory) -> dict[int, Path]:
    """Where each version is installed, by its number."""
    return install(tmp_path_factory.mktemp("fleets"))
