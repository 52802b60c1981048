"""The comparison runs without the other libraries, and tells what it measured."""

import json
import re
import xml.etree.ElementTree as ET
from pathlib import Path
from typing import Any

import pytest
from benchmarks.document import GROWTH, PEERS, rewritten, write
from benchmarks.floor import wal_bytes
from benchmarks.messages import message, messages, packed
from benchmarks.peers import __main__ as command
from benchmarks.peers.catalogue import ENTRIES, Entry
from benchmarks.peers.json_file import JsonFile
from benchmarks.peers.ours import PerdurePower
from benchmarks.peers.peer import AsyncPeer, Peer, sqlite_mode, with_text
from benchmarks.peers.plot import PANEL_PX, PANELS, drawn
from benchmarks.peers.sqlite_floor import FloorFull
from benchmarks.peers.table import COLUMNS, lines, markdown, notes
from benchmarks.peers.trial import Measured, Row, trial
from benchmarks.peers.worker import TAIL_SAVES_MAX, TURN_INSERTS, Turns, load, save
from benchmarks.report import digits
from benchmarks.svg import scale_of

ROOT = Path(__file__).parents[2]
DOCUMENT = ROOT / "docs" / "benchmarks.md"
BUILT_IN = ("perdure-power", "perdure-process", "json-file", "floor-full", "floor-normal")
MODES = ("WAL, FULL", "WAL, NORMAL", "fsync, rename", "WAL, FULL", "WAL, NORMAL")
PINS = ("constraints.txt", "benchmarks/peers/constraints.txt")


def measured(**changed: Any) -> Measured:
    figures: dict[str, Any] = {
        "save_p50_us": 100.0,
        "save_p99_us": 2_000.0,
        "saves_timed": 200,
        "floor_p50_us": 80.0,
        "disk_bytes": 3_000_000,
        "raw_bytes": 600_000,
        "load_ms": 12.5,
        "mode": "WAL, FULL",
    }
    return Measured(**figures | changed)


ROWS = [
    Row("perdure-power", 1_000, measured()),
    Row("perdure-power", 5_000, measured(save_p50_us=110.0)),
    Row("dbos", 1_000, "not installed (No module named 'dbos')"),
]


def test_the_built_in_rows_run_and_the_table_holds_what_was_measured(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    target, work = tmp_path / "rows.json", tmp_path / "work"
    asked = [*BUILT_IN, "--quick", "--dir", str(work), "--json", str(target)]
    assert command.main(asked) == 0
    printed = capsys.readouterr().out
    told = json.loads(target.read_text("utf-8"))
    expected = [(name, count) for name in BUILT_IN for count in command.MESSAGES_QUICK]
    assert [(row["name"], row["messages"]) for row in told["rows"]] == expected
    assert [row["mode"] for row in told["rows"][::2]] == list(MODES)
    shown = [line.split("│")[1:-1] for line in printed.splitlines() if line.startswith("│")]
    for row, cells in zip(told["rows"], shown, strict=True):
        assert row["saves_timed"] == row["messages"]
        assert 0 < row["save_p50_us"] <= row["save_p99_us"]
        assert row["load_ms"] > 0
        figures = (
            *(row["save_p99_us"], row["disk_bytes"] / 1e6, row["times_raw"], row["load_ms"]),
        )
        assert [cell.strip() for cell in cells[1:]] == [
            *(str(row["messages"]), digits(row["save_p50_us"])),
            f"{row['save_p50_us'] / row['floor_p50_us']:.2f}",
            *(*map(digits, figures), row["mode"]),
        ]
    assert told["about"]["mode"].startswith("quick")
    assert told["about"]["command"] == f"python -m benchmarks.peers {' '.join(BUILT_IN)} --quick"
    assert list(work.iterdir()) == []


@pytest.mark.parametrize("kind", [PerdurePower, JsonFile, FloorFull])
def test_a_conversation_is_gone_on_with_after_a_close(kind: type[Peer], tmp_path: Path) -> None:
    for first in (0, 3):
        peer = kind()
        peer.open(tmp_path)
        assert peer.load() == first
        assert len(peer.save_each(messages(3, first), lambda _: None)) == 3
        peer.close()


class InMemory(AsyncPeer):
    """Awaited, as some libraries are; `forgets` of what it was given never comes back."""

    kept: list[str]
    forgets = 0

    async def aopen(self, directory: Path) -> None:
        self._path = directory / "kept.json"
        self.kept = json.loads(self._path.read_text("utf-8")) if self._path.exists() else []

    async def asave(self, message: dict[str, Any]) -> None:
        self.kept.append(message["content"])

    async def aload(self) -> int:
        return with_text(self.kept[self.forgets :])

    async def amode(self) -> str:
        return "none"

    async def aclose(self) -> None:
        self._path.write_text(json.dumps(self.kept), "utf-8")


class Forgetful(InMemory):
    forgets = 2


def test_an_awaited_library_is_measured_alike(tmp_path: Path) -> None:
    count = TAIL_SAVES_MAX + 5
    assert save(InMemory, tmp_path, count)["saves_timed"] == TAIL_SAVES_MAX
    assert load(InMemory, tmp_path, count)["load_ms"] > 0


def test_the_floor_takes_turns_with_the_last_saves(tmp_path: Path) -> None:
    turns = Turns(tmp_path / "floor.db", TAIL_SAVES_MAX + 2)
    assert turns.mode() == "WAL, FULL"
    log_bytes = wal_bytes(tmp_path / "floor.db")
    inserted = []
    for number in range(TAIL_SAVES_MAX + 2):
        turns.before(number)
        inserted.append(len(turns.times))
    assert wal_bytes(tmp_path / "floor.db") == log_bytes, "its log does not grow any more"
    turns.close()
    assert inserted[:3] == [0, 0, TURN_INSERTS]
    assert inserted[TURN_INSERTS + 1 : TURN_INSERTS + 3] == [TURN_INSERTS, 2 * TURN_INSERTS]
    assert inserted[-1] == TAIL_SAVES_MAX


def test_what_did_not_come_back_is_no_figure(tmp_path: Path) -> None:
    save(Forgetful, tmp_path, 10)
    with pytest.raises(RuntimeError, match="8 of 10 messages came back"):
        load(Forgetful, tmp_path, 10)


def test_only_messages_with_their_text_count_as_loaded() -> None:
    assert with_text(["hello", "", None, "there"]) == 2


PEER = """
from benchmarks.peers.json_file import JsonFile
class Peer(JsonFile):
    def save(self, message):
        {body}
"""


def failure(body: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, limit_s: float = 60) -> str:
    """Why there is no figure for a library whose save does `body`."""
    (tmp_path / "made_up_peer.py").write_text(PEER.format(body=body), "utf-8")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    monkeypatch.setenv("PYTHONDONTWRITEBYTECODE", "1")  # the next body is written in this second
    entry = Entry("made up", "made_up_peer:Peer", (), "none")
    monkeypatch.setitem(ENTRIES, "made-up", entry)
    row = trial("made-up", 3, tmp_path, loads=1, limit_s=limit_s)
    assert isinstance(row.result, str)
    return row.result


def test_a_library_that_is_missing_fails_or_hangs_is_a_row_that_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    missing = failure("import not_there_at_all", tmp_path, monkeypatch)
    assert missing == "not installed (No module named 'not_there_at_all')"
    failed = failure("raise OSError(f'no room in {self._path}')", tmp_path, monkeypatch)
    assert failed == "save: OSError: no room in …/warm/conversation.json"
    killed = failure("import os; os._exit(7)", tmp_path, monkeypatch)
    assert killed == "save: ended with 7"
    lost = failure("pass", tmp_path, monkeypatch)
    assert lost == "load: RuntimeError: 0 of 3 messages came back"
    late = failure("pass", tmp_path, monkeypatch, limit_s=0.001)
    assert late == "save: not done within 0.001 s"
    assert [path.name for path in tmp_path.iterdir() if "made-up-" in path.name] == []


def test_disk_counts_every_file_that_is_left(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "made_up_peer.py").write_text(
        "from benchmarks.peers.json_file import JsonFile\n"
        "class Peer(JsonFile):\n"
        "    def close(self):\n"
        "        beside = self._path.parent / 'deep' / 'log'\n"
        "        beside.parent.mkdir(exist_ok=True)\n"
        "        beside.write_bytes(bytes(1000))\n",
        "utf-8",
    )
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    monkeypatch.setitem(ENTRIES, "made-up", Entry("made up", "made_up_peer:Peer", (), "none"))
    found = trial("made-up", 3, tmp_path, loads=1, limit_s=60).result
    assert isinstance(found, Measured)
    assert found.disk_bytes == len(json.dumps(messages(3))) + 1000
    assert found.raw_bytes == sum(len(packed(message(seed))) for seed in range(3))
    assert found.times_raw == found.disk_bytes / found.raw_bytes


def test_a_row_without_figures_says_why_in_the_table() -> None:
    power, again, missing = lines(ROWS)
    assert power == (
        "Perdure, power (1)",
        "1,000",
        "100.0",
        "1.25",
        "2,000",
        "3.0",
        "5.0",
        "12.5",
        MODES[0],
    )
    assert again[:3] == ("", "5,000", "110.0")
    assert missing == ("dbos on SQLite (2)", "1,000", *["—"] * 6, ROWS[2].result)
    assert len(COLUMNS) == len(power)
    assert ROWS[2].as_json()["failure"] == ROWS[2].result


def test_notes_are_numbered_as_the_table_says() -> None:
    power, dbos = notes(ROWS)
    assert power.startswith("perdure ")
    assert power.endswith(ENTRIES["perdure-power"].caveat)
    assert re.match(r"dbos \S+.*; a durable workflow", dbos)


def test_every_library_has_a_caveat_and_a_file_of_its_own() -> None:
    for name, entry in ENTRIES.items():
        module, _, kind = entry.where.partition(":")
        source = (ROOT / f"{module.replace('.', '/')}.py").read_text("utf-8")
        assert f"class {kind}(" in source, name
        assert entry.caveat, name
    assert len({entry.title for entry in ENTRIES.values()}) == len(ENTRIES)


def test_the_picture_shows_each_row_at_its_place() -> None:
    picture = ET.fromstring(drawn(ROWS))
    texts = [each.text for each in picture.iter("{http://www.w3.org/2000/svg}text")]
    dots = [each.attrib for each in picture.iter("{http://www.w3.org/2000/svg}circle")]
    assert texts.count("Perdure, power") == 1
    assert texts.count("dbos on SQLite") == 1
    assert texts.count("not measured") == 3
    assert len(dots) == 2 * 3
    scale = scale_of([100.0, 110.0], 220, PANEL_PX)
    expected = [f"{scale.at(100.0):.1f}", f"{scale.at(110.0):.1f}"]
    assert [dot["cx"] for dot in dots[:2]] == expected
    assert [dot["fill"] == dot["stroke"] for dot in dots[:2]] == [False, True]


def test_figures_in_the_picture_are_short() -> None:
    save, disk, _ = PANELS
    assert [save.text(us) for us in (12.34, 999.4, 36_188, 1e6)] == [
        *("12.3 µs", "999 µs", "36.2 ms", "1 s"),
    ]
    assert [disk.text(value) for value in (1.387, 2_505.2)] == ["1.39 ×", "2,505 ×"]


def test_a_scale_has_whole_decades() -> None:
    scale = scale_of([30.0, 2_000.0], 100, 300)
    assert (scale.low, scale.high) == (1, 4)
    assert [scale.at(value) for value in scale.decades()] == pytest.approx([100, 200, 300, 400])
    assert scale_of([2_000.0], 400, -300).at(10_000) == 100
    assert scale_of([10.0], 0, 1).high > scale_of([10.0], 0, 1).low


def test_a_run_renews_its_section_and_nothing_else(tmp_path: Path) -> None:
    document, picture = tmp_path / "page.md", tmp_path / "peers.svg"
    begin, end = PEERS.begin, PEERS.end
    document.write_text(f"before\n\n{begin}\nold\n{end}\n\nafter\n", "utf-8")
    told = {"machine": "this one"}
    for _ in range(2):
        write(document, markdown(ROWS, told, "how"), PEERS, {picture: drawn(ROWS)})
        text = document.read_text("utf-8")
        assert text.startswith(f"before\n\n{begin}\n\n")
        assert text.endswith(f"{end}\n\nafter\n")
        assert "old" not in text
        assert "machine: this one" in text
        assert "| Perdure, power (1) | 1,000 | 100.0 | 1.25 | 2,000 |" in text
    assert picture.read_text("utf-8") == drawn(ROWS)


@pytest.mark.parametrize("text", ["", "{0}", "{1} {0}", "{0} {1} {0} {1}"])
def test_a_document_without_its_marks_is_left_alone(text: str) -> None:
    with pytest.raises(ValueError, match="once each"):
        rewritten(text.format(PEERS.begin, PEERS.end), "new", PEERS)


def test_the_document_has_the_marks_and_names_the_command() -> None:
    text = DOCUMENT.read_text("utf-8")
    for marks in (PEERS, GROWTH):
        assert "new" in rewritten(text, "new", marks)
    assert "make bench-peers" in text
    assert "make bench-growth" in text


def test_only_a_full_run_is_kept(capsys: pytest.CaptureFixture[str]) -> None:
    assert command.main(["--write", "--quick"]) == 2
    assert command.main(["--write", "json-file"]) == 2
    assert "full run" in capsys.readouterr().err
    assert command.main(["nonsense"]) == 2
    assert "nonsense" in capsys.readouterr().err
    assert command.main(["--list"]) == 0
    assert [line.split()[0] for line in capsys.readouterr().out.splitlines()] == list(ENTRIES)


def test_a_mode_is_told_in_sqlites_words() -> None:
    assert sqlite_mode("wal", 2) == "WAL, FULL"
    assert sqlite_mode("delete", 1) == "DELETE, NORMAL"
    assert sqlite_mode("off", 0) == "OFF, OFF"


def pinned(name: str) -> dict[str, str]:
    text = re.sub(r" \\\n +", " ", (ROOT / name).read_text("utf-8"))
    lines = [
        re.match(r"([a-z0-9-]+)==([^\s;]+).*? --hash=sha256:", each) for each in text.splitlines()
    ]
    assert None not in lines
    assert "://" not in text
    return {line[1]: line[2] for line in lines if line}


def test_the_environment_has_each_library_and_perdures_own_dependencies_as_pinned() -> None:
    ours, theirs = map(pinned, PINS)
    wanted = {name for entry in ENTRIES.values() for name in entry.distributions} - {"perdure"}
    assert wanted <= theirs.keys()
    for name in ("apsw", "backports-zstd", "click", "msgspec", "rich"):
        assert theirs[name] == ours[name], name
