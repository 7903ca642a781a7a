"""A run whose disk fills up in the middle; started inside a mount of its own, where the folder FOLDER is small.

python -m tests.e2e.full_disk HOME FOLDER STEP COUNT
"""

import json
import sys
from pathlib import Path

from tests.e2e.command import MEDIA, Rapt, whole
from tests.waiting import until


def fill(folder: Path) -> Path:
    """Take all that is left of the folder's disk."""
    filler = folder / "filler"
    with filler.open("wb", buffering=0) as file:
        for size in (1 << 16, 1 << 10, 1):
            try:
                while file.write(b"x" * size):
                    pass
            except OSError:
                continue
    return filler


def main(rapt: Rapt, folder: Path, step: str, count: int) -> None:
    """Fill the disk once `step` has done `count` videos, then make room and run again; tell both ends."""
    process = rapt.start(*MEDIA)
    until(lambda: process.poll() is not None or max(rapt.progress(step), default=0) >= count)
    filler = fill(folder)
    _, told = process.communicate(timeout=120)
    filler.unlink()
    whole(rapt.document(*MEDIA))
    print(json.dumps({"code": process.returncode, "told": told, "resumed": rapt.progress(step)}))


if __name__ == "__main__":
    own = Rapt(Path(sys.argv[1]), {})
    try:
        main(own, Path(sys.argv[2]), sys.argv[3], int(sys.argv[4]))
    finally:
        own.end()
