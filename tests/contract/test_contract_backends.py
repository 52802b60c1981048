"""Every backend keeps the contract."""

from pathlib import Path
from uuid import uuid4

import pytest

from perdure.backends.memory import MemoryBackend
from perdure.backends.objects import ObjectBackend
from perdure.backends.sqlite import SqliteBackend
from perdure.testing.contract_kit import Make
from perdure.testing.contract_pytest import BackendContract


class TestMemory(BackendContract):
    @pytest.fixture
    def make(self) -> Make:
        name = uuid4().hex
        return lambda: MemoryBackend(name)


class TestObjects(BackendContract):
    @pytest.fixture
    def make(self) -> Make:
        name = uuid4().hex
        return lambda: ObjectBackend(name)


class TestObjectsAllSpilled(BackendContract):
    @pytest.fixture
    def make(self, monkeypatch: pytest.MonkeyPatch) -> Make:
        monkeypatch.setattr("perdure.backends.objects.inline_bytes_max", 0)
        name = uuid4().hex
        return lambda: ObjectBackend(name)


class TestSqlite(BackendContract):
    @pytest.fixture
    def make(self, tmp_path: Path) -> Make:
        return lambda: SqliteBackend(tmp_path / "a store? 100% #1 é.db")
