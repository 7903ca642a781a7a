import pytest

from rapt.output import duration, print_table, size


@pytest.mark.parametrize(
    ("number", "text"),
    [
        (0, "0 B"),
        (999, "999 B"),
        (1500, "1.5 kB"),
        (999_999, "1 MB"),
        (2_340_000_000, "2.34 GB"),
        (5e15, "5e+03 TB"),
    ],
)
def test_sizes_read_in_decimal_units(number: float, text: str) -> None:
    assert size(number) == text


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0, "0 s"),
        (59.4, "59 s"),
        (59.6, "1 min 0 s"),
        (185, "3 min 5 s"),
        (7800, "2 h 10 min"),
        (86399, "23 h 59 min"),
        (349200, "4 d 1 h"),
    ],
)
def test_durations_read_in_two_units(seconds: float, text: str) -> None:
    assert duration(seconds) == text


def test_a_table_is_as_wide_as_its_widest_cells(capsys: pytest.CaptureFixture[str]) -> None:
    print_table(("A", "B"), [("long", 1), ("x", "y")])
    assert capsys.readouterr().out == "A     B\nlong  1\nx     y\n"
