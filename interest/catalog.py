"""The catalogue: the videos that a run knows, as a folder with `videos.jsonl` and `rejected.jsonl`."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

import msgspec

from interest.errors import InvalidRecord
from interest.records import Rejected, Video

VIDEOS, REJECTED = "videos.jsonl", "rejected.jsonl"
T = TypeVar("T", bound=msgspec.Struct)


@dataclass(frozen=True)
class Catalog:
    """Videos in a fixed order, ids unique; `rejected` lists what did not make it and why."""

    videos: tuple[Video, ...]
    rejected: tuple[Rejected, ...] = ()
    index: dict[str, int] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        index = {video.video_id: row for row, video in enumerate(self.videos)}
        if len(index) != len(self.videos):
            counts = Counter(video.video_id for video in self.videos)
            twice = counts.most_common(1)[0][0]
            raise InvalidRecord(f"video_id {twice!r} occurs twice in the catalogue; ids must be unique")
        object.__setattr__(self, "index", index)

    def __len__(self) -> int:
        return len(self.videos)

    def __iter__(self) -> Iterator[Video]:
        return iter(self.videos)

    def __getitem__(self, video_id: str) -> Video:
        return self.videos[self.index[video_id]]

    def write(self, folder: Path) -> None:
        """Write both files into `folder`, which is made when it is not there."""
        folder.mkdir(parents=True, exist_ok=True)
        write_jsonl(folder / VIDEOS, self.videos)
        write_jsonl(folder / REJECTED, self.rejected)

    @staticmethod
    def read(folder: Path) -> Catalog:
        """Read a catalogue folder; raises `InvalidRecord` with file and line of the first bad record."""
        rejected = folder / REJECTED
        return Catalog(
            tuple(read_jsonl(folder / VIDEOS, Video)),
            tuple(read_jsonl(rejected, Rejected)) if rejected.exists() else (),
        )


def merge(catalogs: Iterable[Catalog]) -> Catalog:
    """One catalogue of several; a video id that comes again is rejected, the first one stays."""
    videos: dict[str, Video] = {}
    rejected: list[Rejected] = []
    for catalog in catalogs:
        rejected.extend(catalog.rejected)
        for video in catalog.videos:
            if video.video_id in videos:
                rejected.append(Rejected(item=video.video_id, reason="duplicate video_id: the first one is kept"))
            else:
                videos[video.video_id] = video
    return Catalog(tuple(videos.values()), tuple(rejected))


def write_jsonl(path: Path, records: Iterable[msgspec.Struct]) -> None:
    """Write one JSON object a line."""
    encoder = msgspec.json.Encoder()
    with path.open("wb") as file:
        file.writelines(encoder.encode(record) + b"\n" for record in records)


def read_jsonl(path: Path, record_type: type[T]) -> Iterator[T]:
    """Read one typed record a line; raises `InvalidRecord` naming file, line and field."""
    decoder = msgspec.json.Decoder(record_type)
    with path.open("rb") as file:
        for number, line in enumerate(file, start=1):
            try:
                yield decoder.decode(line)
            except msgspec.DecodeError as error:
                raise InvalidRecord(f"{path.name} line {number}: {error}") from error
