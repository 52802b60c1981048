"""A conversation is measured as it grows, and the table and the plots hold what was measured."""

import json
import re
import xml.etree.ElementTree as ET
from pathlib import Path

import pytest
from benchmarks.document import GROWTH
from benchmarks.floor import Floor
from benchmarks.growth import __main__ as command
from benchmarks.growth.plot import drawn
from benchmarks.growth.series import ALL, COUNTS_QUICK, DISK, SAVE, Point
from benchmarks.growth.table import COLUMNS, lines
from benchmarks.messages import messages, packed
from benchmarks.svg import FLOOR, OURS, PAPER, picture, text

SVG = "{http://www.w3.org/2000/svg}"
COUNTS = (100, 1_000, 10_000)
POINTS = [
    Point(series, count, 40.0 * count if series is DISK else 50.0, 20.0)
    for count in COUNTS
    for series in ALL
]


def test_every_series_is_measured_at_every_length(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    target, work = tmp_path / "points.json", tmp_path / "work"
    assert command.main(["--quick", "--dir", str(work), "--json", str(target)]) == 0
    told = json.loads(target.read_text("utf-8"))
    expected = [(series.name, count) for count in COUNTS_QUICK for series in ALL]
    assert [(each["series"], each["messages"]) for each in told["points"]] == expected
    for point in told["points"]:
        assert point["value"] > 0
        assert point["ratio"] == point["value"] / point["floor"]
    raw = [each["floor"] for each in told["points"] if each["series"] == "disk"]
    assert raw == [sum(map(len, map(packed, messages(count)))) for count in COUNTS_QUICK]
    assert told["about"]["mode"].startswith("quick")
    assert told["about"]["command"] == "python -m benchmarks.growth --quick"
    assert "load everything" in capsys.readouterr().out
    assert list(work.iterdir()) == []


def test_the_table_has_a_line_for_each_length() -> None:
    found = list(lines(POINTS))
    assert [cells[0] for cells in found] == ["100", "1,000", "10,000"]
    assert all(len(cells) == len(COLUMNS) for cells in found)
    assert found[0][1:] == ("50 µs (2.5 ×)", "50 µs (2.5 ×)", "50 µs (2.5 ×)", "0.004 MB (200 ×)")


def test_a_plot_shows_each_point_at_its_place() -> None:
    plotted = ET.fromstring(drawn([point for point in POINTS if point.series is SAVE]))
    dots = [each.attrib for each in plotted.iter(f"{SVG}circle")]
    floor, ours = dots[: len(COUNTS)], dots[len(COUNTS) :]
    assert [dot["stroke"] for dot in dots] == [FLOOR] * 3 + [OURS] * 3
    assert [dot["cx"] for dot in floor] == [dot["cx"] for dot in ours]
    assert len({dot["cy"] for dot in ours}) == 1, "a cost that does not grow is a level line"
    assert float(ours[0]["cy"]) < float(floor[0]["cy"]), "more is further up"
    texts = [each.text for each in plotted.iter(f"{SVG}text")]
    assert SAVE.title in texts
    assert "Perdure: 50 µs, 2.5 × floor" in texts


def test_curves_that_end_together_are_labelled_apart() -> None:
    same = [Point(SAVE, count, 20.0, 20.0) for count in COUNTS]
    plotted = ET.fromstring(drawn(same))
    labels = [each for each in plotted.iter(f"{SVG}text") if each.attrib["font-size"] == "11"]
    ours, floor = (float(each.attrib["y"]) for each in labels)
    assert abs(ours - floor) >= 24


def test_every_colour_of_a_picture_has_one_for_the_dark() -> None:
    svg = picture(10, 10, [text(0, 0, "a < b", colour=OURS)])
    used = set(re.findall(r'(?:fill|stroke)="(#\w+)"', svg.split("</style>")[1]))
    assert used == {PAPER, OURS}
    for series in ALL:
        svg = drawn([point for point in POINTS if point.series is series])
        style, body = svg.split("</style>")
        for name, colour in re.findall(r'(fill|stroke)="(#\w+)"', body):
            assert f'[{name}="{colour}"] {{ {name}: #' in style


def test_a_full_run_renews_its_section_and_its_plots(tmp_path: Path) -> None:
    document, directory = tmp_path / "page.md", tmp_path / "plots"
    document.write_text(f"before\n\n{GROWTH.begin}\nold\n{GROWTH.end}\n\nafter\n", "utf-8")
    command.keep(POINTS, {"machine": "this one"}, document, directory)
    page = document.read_text("utf-8")
    assert page.startswith("before\n")
    assert page.endswith("after\n")
    assert "old" not in page
    assert "| 1,000 | 50 µs (2.5 ×) |" in page
    assert "machine: this one" in page
    for series in ALL:
        assert f"](plots/{series.name}.svg)" in page
        own = [point for point in POINTS if point.series is series]
        assert (directory / f"{series.name}.svg").read_text("utf-8") == drawn(own)


def test_a_quick_run_is_not_kept(capsys: pytest.CaptureFixture[str]) -> None:
    assert command.main(["--write", "--quick"]) == 2
    assert "full run" in capsys.readouterr().err


def test_a_floor_gives_back_the_row_that_was_asked_for(tmp_path: Path) -> None:
    floor = Floor(tmp_path / "floor.db", "NORMAL")
    numbers = []
    for blob in (b"one", b"two"):
        floor.insert(blob)
        numbers.append(floor.last())
    assert [floor.read(number) for number in numbers] == [b"one", b"two"]
    floor.close()
