"""Two catalogues as one."""

from __future__ import annotations

from pathlib import Path

from interest.catalog import Catalog, merge


def run(first: Path, second: Path, catalog: Path) -> dict[str, int]:
    """Write `first` followed by what only `second` has into the folder `catalog`; returns the counts."""
    merged = merge([Catalog.read(first), Catalog.read(second)])
    merged.write(catalog)
    return {"videos": len(merged), "rejected": len(merged.rejected)}
