"""Charts are well-formed and put every point where its numbers say."""

from pathlib import Path
from xml.etree import ElementTree

from benchmarks.plot import line_chart

SVG = "{http://www.w3.org/2000/svg}"


def places(path: Path) -> list[tuple[float, float]]:
    drawn = ElementTree.parse(path)  # noqa: S314 - our own file
    return [(float(circle.attrib["cx"]), float(circle.attrib["cy"])) for circle in drawn.iter(f"{SVG}circle")]


def test_the_middle_point_of_a_line_lies_in_the_middle(tmp_path: Path) -> None:
    path = line_chart(tmp_path / "a.svg", "t", "candidates", "ms", {"<ours>": [(0, 0), (50, 1), (100, 2)]})
    low, middle, high = places(path)
    assert middle == ((low[0] + high[0]) / 2, (low[1] + high[1]) / 2)
    assert low[0] < high[0] and low[1] > high[1]


def test_a_logarithmic_axis_gives_each_factor_of_ten_the_same_room(tmp_path: Path) -> None:
    path = line_chart(tmp_path / "a.svg", "t", "viewers", "B", {"a": [(1e3, 5), (1e4, 5), (1e5, 5)]}, log_x=True)
    xs = [x for x, _ in places(path)]
    assert xs[1] - xs[0] == xs[2] - xs[1] > 0
