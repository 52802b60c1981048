"""From a URL to a backend, and the command that checks one."""

import os
from pathlib import Path, PurePath

import pytest

from perdure.backends.memory import MemoryBackend
from perdure.backends.objects import ObjectBackend
from perdure.backends.sqlite import SqliteBackend
from perdure.backends.url import KNOWN, backend_for
from perdure.errors import InvalidStoreURL, UsageError
from perdure.testing import contract
from perdure.testing.__main__ import main
from perdure.testing.contract_kit import Writer


@pytest.mark.parametrize(
    ("url", "path"),
    [
        ("agents.db", "agents.db"),
        ("a b/ü?%#.db", "a b/ü?%#.db"),
        (PurePath("sub/agents.db"), "sub/agents.db"),
        ("sqlite:///sub/agents.db", "sub/agents.db"),
        ("sqlite:////abs/agents.db", "/abs/agents.db"),
        ("SQLite:///agents.db", "agents.db"),
        ("/abs/agents.db", "/abs/agents.db"),
        (r"C:\stores\agents.db", r"C:\stores\agents.db"),
        ("c:agents.db", "c:agents.db"),
        ("./memory:x", "memory:x"),
    ],
)
def test_files(url: str | PurePath, path: str) -> None:
    backend = backend_for(url)
    assert isinstance(backend, SqliteBackend)
    assert backend.path == os.path.abspath(path)


@pytest.mark.parametrize(
    "url",
    ["", "postgres://host/x", "s3://bucket", "sqlite:x.db", "sqlite://x.db", "sqlite:///", "a.b:c"],
)
def test_unknown_urls_are_told_what_is_known(url: str) -> None:
    with pytest.raises(InvalidStoreURL) as caught:
        backend_for(url)
    assert repr(url) in str(caught.value)
    assert all(form in str(caught.value) for form in KNOWN)


@pytest.mark.parametrize("url", [":memory:", "sqlite:///:memory:"])
def test_sqlites_word_for_memory_is_explained(url: str) -> None:
    with pytest.raises(InvalidStoreURL, match="write 'memory:'"):
        backend_for(url)


def test_options_reach_the_backend(tmp_path: Path) -> None:
    with pytest.raises(Exception, match="There is no store"):
        backend_for(tmp_path / "a.db", create=False).connect()


@pytest.mark.parametrize(
    ("scheme", "kind"), [("memory", MemoryBackend), ("memory+objects", ObjectBackend)]
)
def test_memory_is_private_or_shared_by_name(scheme: str, kind: type, tmp_path: Path) -> None:
    name = os.urandom(8).hex()
    one, two = backend_for(f"{scheme}:{name}"), backend_for(f"{scheme}:{name}")
    assert isinstance(one, kind)
    assert one.connect() == two.connect()
    writer = Writer("agent")
    writer.save(one, b"one")
    one.close()
    assert writer.read(two) == tuple(writer.rows)
    assert backend_for(f"{scheme}:").connect() != backend_for(f"{scheme}:").connect()
    assert two.size_bytes() >= len(b"one") + len(b"head")
    with pytest.raises(UsageError, match="export"):
        two.backup(tmp_path / "copy")


def test_objects_spill_old_records_and_keep_new_ones_inline() -> None:
    backend = ObjectBackend()
    writer = Writer("agent")
    for number in range(40):
        writer.save(backend, bytes([number]) * 20_000)
    bucket = backend._bucket
    head = bucket.get("head/agent")
    assert head is not None
    assert 20_000 < len(head[1]) < 300_000
    assert 2 <= len(bucket.names("segment/")) <= 8
    assert writer.read(backend) == tuple(writer.rows)


def test_a_loser_on_objects_may_leave_segments_that_nobody_sees() -> None:
    backend = ObjectBackend()
    writer = Writer("agent")
    writer.save(backend, b"one")
    bucket = backend._bucket
    put = bucket.put
    late = writer.commit(b"x" * 300_000)

    def overtake(name: str, data: bytes, *, version: int | None = None) -> bool:
        if name == "head/agent":
            bucket.put = put  # type: ignore[method-assign]
            writer.save(backend, b"two")
        return put(name, data, version=version)

    bucket.put = overtake  # type: ignore[method-assign]
    assert type(backend.perform(late)).__name__ == "Moved"
    assert len(bucket.names("segment/")) == 1
    assert writer.read(backend) == tuple(writer.rows)


def test_the_command_checks_a_scratch_store(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["contract", f"sqlite:///{tmp_path}/a.db"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == len(contract.CHECKS) + 1
    assert lines[-1] == f"{len(contract.CHECKS)} passed, 0 failed"
    assert list(tmp_path.iterdir()) == []
    assert main(["contract", "memory:"]) == 0


def test_the_command_fails_when_a_check_does(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(SqliteBackend, "close", lambda self: None)
    assert main(["contract", str(tmp_path / "a.db")]) == 1
    assert "FAILED  `close` may be called twice" in capsys.readouterr().out


def test_the_command_never_writes_to_a_store_that_is_there(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "a.db").write_bytes(b"mine")
    for url in (str(tmp_path / "a.db"), str(tmp_path / "no" / "a.db"), "s3://x"):
        with pytest.raises(SystemExit):
            main(["contract", url])
    assert "exists" in capsys.readouterr().err
    assert [path.name for path in tmp_path.iterdir()] == ["a.db"]
