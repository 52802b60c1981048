"""Opening a SQLite store: where it may be, what it refuses, and that it touches nothing else."""

import os
import sqlite3
import stat
from contextlib import closing
from pathlib import Path

import apsw
import pytest
from tests.unit.sqlite_files import contents, filled, unprivileged

from perdure.backends import sqlite_files
from perdure.backends.sqlite import SqliteBackend
from perdure.backends.sqlite_files import filesystem_type, is_safe_library
from perdure.errors import (
    Damaged,
    InvalidStoreURL,
    NetworkFilesystem,
    NewerFormat,
    NotAStore,
    OlderFormat,
    PerdureError,
    ReadOnlyStore,
    StoreUnavailable,
    UnsafeLibrary,
)
from perdure.testing.contract_kit import Writer, must_be, opened


@pytest.mark.parametrize(
    ("version", "safe"),
    [
        ("3.6.23", False),
        ("3.44.5", False),
        ("3.44.6", True),
        ("3.44.9", True),
        ("3.45.0", False),
        ("3.49.2", False),
        ("3.50.6", False),
        ("3.50.7", True),
        ("3.51.0", False),
        ("3.51.2", False),
        ("3.51.3", True),
        ("3.52", True),
        ("3.54.1", True),
        ("4.0.0", True),
    ],
)
def test_libraries_with_the_wal_reset_bug_are_known(version: str, safe: bool) -> None:
    assert is_safe_library(version) is safe


def test_an_unsafe_library_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(apsw, "sqlite_lib_version", lambda: "3.51.2")
    with pytest.raises(UnsafeLibrary, match=r"3\.51\.2 .* 3\.51\.3 or newer"):
        SqliteBackend(tmp_path / "a.db").connect()
    assert contents(tmp_path) == {}


MOUNTS = r"""21 1 254:1 / / rw,relatime shared:1 - ext4 /dev/vda1 rw
22 21 0:20 / /proc rw,nosuid shared:2 - proc proc rw
30 21 0:44 / /mnt rw,relatime - nfs4 server:/mnt rw,vers=4.2
31 30 0:45 / /mnt/ann/local rw master:3 propagate_from:2 - btrfs /dev/vdb rw
32 21 0:46 / /mnt/my\040disk rw - cifs //server/share rw
33 21 0:47 / /mnt/twice rw - xfs /dev/vdc rw
34 21 0:48 / /mnt/twice rw - fuse.sshfs host: rw
a line of something else
"""


@pytest.mark.parametrize(
    ("path", "kind"),
    [
        ("/a.db", "ext4"),
        ("/mnt/ann/a.db", "nfs4"),
        ("/mnts/a.db", "ext4"),
        ("/mnt/ann/local/a.db", "btrfs"),
        ("/mnt/ann/localb/a.db", "nfs4"),
        ("/mnt/my disk/x/a.db", "cifs"),
        ("/mnt/twice/a.db", "fuse.sshfs"),
    ],
)
def test_the_file_system_of_a_path(path: str, kind: str) -> None:
    assert filesystem_type(MOUNTS, path) == kind


def test_no_mounts_no_answer() -> None:
    assert filesystem_type("", "/a.db") is None


def test_network_file_systems_are_refused_unless_allowed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sqlite_files, "network_type", lambda path: "nfs4")
    with pytest.raises(NetworkFilesystem, match=r"nfs4.*local disk"):
        SqliteBackend(tmp_path / "a.db").connect()
    assert contents(tmp_path) == {}
    SqliteBackend(tmp_path / "a.db", allow_network_filesystem=True).connect()


@pytest.mark.parametrize("name", [":memory:", "", "a\0b"])
def test_names_that_are_no_files(name: str) -> None:
    with pytest.raises(InvalidStoreURL):
        SqliteBackend(name)


@pytest.mark.parametrize("name", ["a b.db", "a?mode=memory", "100%25#1.db", "é😀.db", "file:x.db"])
def test_a_path_is_taken_as_it_is(tmp_path: Path, name: str) -> None:
    writer = filled(tmp_path / name)
    assert os.listdir(tmp_path) == [name]
    with opened(lambda: SqliteBackend(tmp_path / name, read_only=True)) as backend:
        must_be(len(writer.read(backend)), 1, "records")


def test_a_relative_path_stays_where_it_was(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    backend = SqliteBackend("a.db")
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    backend.connect()
    backend.close()
    assert (tmp_path / "a.db").is_file()


def test_the_constructor_touches_nothing(tmp_path: Path) -> None:
    SqliteBackend(tmp_path / "no" / "such" / "a.db")
    SqliteBackend(tmp_path / "a.db").close()
    assert contents(tmp_path) == {}


def test_a_missing_directory_is_named(tmp_path: Path) -> None:
    with pytest.raises(StoreUnavailable, match=r"make the directory .*/no/such"):
        SqliteBackend(tmp_path / "no" / "such" / "a.db").connect()


def test_a_file_for_a_directory_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(StoreUnavailable, match=r"file is no directory"):
        SqliteBackend(tmp_path / "file" / "a.db").connect()


def test_a_directory_is_no_store(tmp_path: Path) -> None:
    with pytest.raises(StoreUnavailable, match="is a directory; name a file in it"):
        SqliteBackend(tmp_path).connect()


@pytest.mark.parametrize("options", [{"create": False}, {"read_only": True}])
def test_a_store_is_made_only_where_it_may(tmp_path: Path, options: dict[str, bool]) -> None:
    wanted = "without read_only=True" if "read_only" in options else "with create=True"
    with pytest.raises(StoreUnavailable, match=f"There is no store at .*a\\.db.* {wanted}"):
        SqliteBackend(tmp_path / "a.db", **options).connect()  # type: ignore[arg-type]
    (tmp_path / "empty.db").write_bytes(b"")
    with pytest.raises(NotAStore, match=f"is empty.* {wanted}"):
        SqliteBackend(tmp_path / "empty.db", **options).connect()  # type: ignore[arg-type]
    assert contents(tmp_path) == {"empty.db": b""}


def test_an_empty_file_may_become_a_store(tmp_path: Path) -> None:
    (tmp_path / "a.db").write_bytes(b"")
    filled(tmp_path / "a.db")


@pytest.mark.parametrize(
    "data", [b"x", b"hello, world\n" * 5000, b"SQLite format 3\0" + b"\1" * 90]
)
def test_another_file_is_refused_untouched(tmp_path: Path, data: bytes) -> None:
    (tmp_path / "a.db").write_bytes(data)
    with pytest.raises(NotAStore, match=r"it was not touched\. Name another file"):
        SqliteBackend(tmp_path / "a.db").connect()
    assert contents(tmp_path) == {"a.db": data}


def test_a_home_directory_is_expanded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("USERPROFILE", str(tmp_path))
    assert SqliteBackend("~/a.db").path == str(tmp_path / "a.db")
    assert SqliteBackend(Path("~/a.db")).path == str(tmp_path / "a.db")
    monkeypatch.chdir(tmp_path)
    assert SqliteBackend("./~/a.db").path == str(tmp_path / "~" / "a.db")
    assert SqliteBackend("a~b.db").path == str(tmp_path / "a~b.db")


def test_a_link_that_leads_nowhere_is_named_with_where(tmp_path: Path) -> None:
    (tmp_path / "a.db").symlink_to("gone/b.db")
    with pytest.raises(StoreUnavailable, match=rf"is a link to {tmp_path}/gone/b\.db, which is"):
        SqliteBackend(tmp_path / "a.db").connect()
    (tmp_path / "loop.db").symlink_to("loop.db")
    with pytest.raises(StoreUnavailable, match="is a link to"):
        SqliteBackend(tmp_path / "loop.db").connect()
    (tmp_path / "gone").mkdir()
    filled(tmp_path / "gone" / "b.db")
    SqliteBackend(tmp_path / "a.db").connect()


def test_what_is_no_regular_file_is_not_opened(tmp_path: Path) -> None:
    """A pipe would keep who opens it waiting for ever."""
    os.mkfifo(tmp_path / "pipe")
    for path in (tmp_path / "pipe", Path(os.devnull)):
        with pytest.raises(StoreUnavailable, match=f"{path} is not a regular file; name a file"):
            SqliteBackend(path).connect()


def test_a_directory_that_takes_no_files_is_named() -> None:
    with pytest.raises(StoreUnavailable, match=r"Cannot make /proc/a\.db .*where new ones can"):
        SqliteBackend("/proc/a.db").connect()


def test_where_nothing_can_be_seen_permission_is_named(open_to_all: Path) -> None:
    with unprivileged():
        hidden = open_to_all / "hidden"
        (hidden / "deep" / "er").mkdir(parents=True)
        hidden.chmod(0o600)
        try:
            for path in (
                hidden / "a.db",
                hidden / "deep" / "a.db",
                hidden / "deep" / "er" / "a.db",
            ):
                with pytest.raises(
                    StoreUnavailable, match=f"no permission to look into {hidden}.$"
                ):
                    SqliteBackend(path).connect()
        finally:
            hidden.chmod(0o700)


def test_a_store_that_may_only_be_read_says_how(open_to_all: Path) -> None:
    with unprivileged():
        writer = filled(open_to_all / "a.db")
        (open_to_all / "a.db").chmod(0o444)
        open_to_all.chmod(0o555)
        try:
            with pytest.raises(ReadOnlyStore, match=r"write to it; .*open it with read_only=True"):
                SqliteBackend(open_to_all / "a.db").connect()
            with opened(lambda: SqliteBackend(open_to_all / "a.db", read_only=True)) as backend:
                must_be(writer.read(backend), tuple(writer.rows), "records")
            (open_to_all / "a.db").chmod(0)
            with pytest.raises(StoreUnavailable, match=r"no permission to read it\.$"):
                SqliteBackend(open_to_all / "a.db").connect()
        finally:
            open_to_all.chmod(0o755)


@pytest.mark.parametrize("pragma", ["", "PRAGMA application_id = 7", "PRAGMA user_version = 1"])
@pytest.mark.parametrize("mode", ["delete", "wal"])
def test_another_database_is_refused_untouched(tmp_path: Path, mode: str, pragma: str) -> None:
    other = apsw.Connection(str(tmp_path / "a.db"))
    other.pragma("journal_mode", mode)
    other.execute(pragma or "CREATE TABLE theirs (a)")
    other.close()
    before = contents(tmp_path)
    with pytest.raises(NotAStore, match="of another program"):
        SqliteBackend(tmp_path / "a.db").connect()
    assert contents(tmp_path) == before


def test_another_database_keeps_its_log(tmp_path: Path) -> None:
    theirs = tmp_path / "theirs"
    theirs.mkdir()
    other = apsw.Connection(str(theirs / "a.db"))
    other.pragma("journal_mode", "wal")
    other.execute("CREATE TABLE theirs (a); INSERT INTO theirs VALUES (1)")
    for name in ("a.db", "a.db-wal"):
        (tmp_path / name).write_bytes((theirs / name).read_bytes())
    other.close()
    before = {name: (tmp_path / name).read_bytes() for name in ("a.db", "a.db-wal")}
    with pytest.raises(NotAStore):
        SqliteBackend(tmp_path / "a.db").connect()
    assert {name: (tmp_path / name).read_bytes() for name in before} == before


def test_a_newer_format_is_refused_untouched(tmp_path: Path) -> None:
    """P10."""
    filled(tmp_path / "a.db")
    newer = apsw.Connection(str(tmp_path / "a.db"))
    newer.pragma("user_version", 7)
    newer.close()
    before = contents(tmp_path)
    with pytest.raises(NewerFormat, match=r"format 7.*pip install --upgrade perdure"):
        SqliteBackend(tmp_path / "a.db").connect()
    assert contents(tmp_path) == before


def test_a_damaged_database_is_named(tmp_path: Path) -> None:
    filled(tmp_path / "a.db")
    data = bytearray((tmp_path / "a.db").read_bytes())
    data[4096:] = b"\xa5" * len(data[4096:])
    (tmp_path / "a.db").write_bytes(data)
    with pytest.raises(PerdureError, match=r"a\.db") as caught:
        SqliteBackend(tmp_path / "a.db").connect()
    assert caught.value.kind == "damaged"


EARLY = (
    "DROP TABLE records",
    "CREATE TABLE records (incarnation, line, number, blob, PRIMARY KEY (incarnation, number))",
)


@pytest.mark.parametrize(
    ("statements", "kind", "told"),
    [
        (("PRAGMA user_version = -1",), Damaged, "what it says of itself"),
        (("DELETE FROM perdure",), Damaged, "what it says of itself"),
        (("UPDATE perdure SET value = NULL WHERE name = 'store_id'",), Damaged, "of itself"),
        (("UPDATE perdure SET value = x'00' WHERE name = 'store_id'",), Damaged, "of itself"),
        (("UPDATE perdure SET value = 'now' WHERE name = 'created_us'",), Damaged, "of itself"),
        (("DROP TABLE records",), Damaged, "the table records is missing"),
        (("DROP TABLE perdure",), Damaged, "the table perdure is missing"),
        (EARLY, OlderFormat, "made by an earlier version.*perdure --store .* upgrade"),
    ],
)
def test_what_lacks_a_part_of_a_store_is_told(
    tmp_path: Path, statements: tuple[str, ...], kind: type[PerdureError], told: str
) -> None:
    path = tmp_path / "a.db"
    filled(path)
    with closing(sqlite3.connect(path, isolation_level=None)) as database:
        for statement in statements:
            database.execute(statement)
    for read_only in (False, True):
        with pytest.raises(kind, match=told):
            SqliteBackend(path, read_only=read_only).connect()


def test_files_are_their_owners_alone(tmp_path: Path) -> None:
    before = os.umask(0)
    try:
        with opened(lambda: SqliteBackend(tmp_path / "a.db")) as backend:
            Writer("agent").save(backend, b"one")
            modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in tmp_path.iterdir()}
            backend.backup(tmp_path / "copy.db")
            copy = stat.S_IMODE((tmp_path / "copy.db").stat().st_mode)
    finally:
        os.umask(before)
    assert modes == {"a.db": 0o600, "a.db-wal": 0o600, "a.db-shm": 0o600}
    assert copy == 0o600


def test_nothing_is_left_beside_a_closed_store(tmp_path: Path) -> None:
    filled(tmp_path / "a.db")
    assert os.listdir(tmp_path) == ["a.db"]
