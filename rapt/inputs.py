"""What a user hands to a run, looked at before anything starts; `pipelines.sources` then takes its digest."""

from __future__ import annotations

from pathlib import Path

from components.download.table import read_items
from interest.datasets import layouts
from interest.datasets.events import load_events
from rapt.errors import InvalidOption

EVENTS, EVENTS_FILE = "events", "events.parquet"
STORED = "s3://"


def check_videos(path: str) -> tuple[str, ...]:
    """One line for each row of a list of videos that cannot be used.

    Raises InvalidOption when the file is missing or no row can be used, InvalidRecord when it is no list.
    """
    if path.startswith(STORED):
        return ()
    file = Path(path).expanduser().absolute()
    if not file.is_file():
        raise InvalidOption(f"--videos {path}: no such file; give a CSV with a column url or path, and caption")
    items, rejected = read_items(file)
    missing = [item for item in items if item.path and not (file.parent / item.path).is_file()]
    faults = [f"{one.item}: {one.reason}" for one in rejected]
    faults += [f"{item.name}: no such file; paths are relative to {file.name}" for item in missing]
    if len(missing) == len(items):
        raise InvalidOption(f"--videos {path}: no row can be used; first {faults[0]}")
    return tuple(faults)


def check_events(path: str, layout: str) -> None:
    """Look at a log: a file of events, or a folder in a public layout.

    Raises InvalidOption, InvalidRecord naming column and row, InvalidSetting.
    """
    if path.startswith(STORED):
        return
    source = Path(path).expanduser().absolute()
    own = source / EVENTS_FILE if source.is_dir() else source
    if own.is_file() and layout in ("auto", EVENTS):
        load_events(own)
    elif source.is_file():
        raise InvalidOption(f"--layout {layout} is a folder and --events {path} a file; leave --layout out")
    elif not source.is_dir():
        raise InvalidOption(f"--events {path}: no such file or folder; give events or a public data set")
    elif layout == EVENTS:
        raise InvalidOption(f"--events {path}: the folder holds no {EVENTS_FILE}, which --layout {EVENTS} needs")
    else:
        layouts.find(source, layout)
