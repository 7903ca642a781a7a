"""The public layouts by name, and which one a folder holds."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa

from interest.catalog import Catalog
from interest.datasets import kuairand, kuairec, microlens, mm_ctr
from interest.errors import InvalidSetting


@dataclass(frozen=True)
class Layout:
    """A public layout: `recognises` looks at file names, `read` gives catalogue and canonical events."""

    name: str
    files: str
    recognises: Callable[[Path], bool]
    read: Callable[[Path], tuple[Catalog, pa.Table]]


LAYOUTS = {
    layout.name: layout
    for layout in (
        Layout("kuairand", "log_*.csv", kuairand.recognises, kuairand.read),
        Layout("kuairec", "big_matrix.csv or small_matrix.csv", kuairec.recognises, kuairec.read),
        Layout("microlens", "*pairs.csv or *pairs.tsv", microlens.recognises, microlens.read),
        Layout("mm_ctr", "train.parquet and item_info.parquet", mm_ctr.recognises, mm_ctr.read),
    )
}


def find(folder: Path, name: str = "auto") -> Layout:
    """The layout of that name, or with "auto" the only one that the folder's files fit.

    Raises `InvalidSetting` for an unknown name, and when none or several fit.
    """
    if name != "auto":
        if name not in LAYOUTS:
            raise InvalidSetting(f"layout {name!r} is unknown; choose auto, {', '.join(LAYOUTS)}")
        return LAYOUTS[name]
    fitting = [layout for layout in LAYOUTS.values() if layout.recognises(folder)]
    if len(fitting) == 1:
        return fitting[0]
    if fitting:
        names = " and ".join(layout.name for layout in fitting)
        raise InvalidSetting(f"folder {folder.name!r} fits {names}; name one as layout")
    known = "; ".join(f"{layout.name} has {layout.files}" for layout in LAYOUTS.values())
    raise InvalidSetting(f"folder {folder.name!r} holds no known layout: {known}")
