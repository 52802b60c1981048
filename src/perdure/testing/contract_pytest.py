"""The backend contract as a pytest class.

Example:
    class TestMine(BackendContract):
        @pytest.fixture
        def make(self, tmp_path):
            return lambda: MyBackend(tmp_path / "store")
"""

from __future__ import annotations

import pytest

from perdure.testing.contract import CHECKS, Check
from perdure.testing.contract_kit import Make


class BackendContract:
    """Subclass it and give it a fixture `make`, which opens one store at every call."""

    @pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
    def test_contract(self, check: Check, make: Make) -> None:
        """One test for each sentence of the contract."""
        check(make)
