"""Features on disk: safetensors shards of some videos each, and a reader whose memory stays flat."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray
from safetensors.numpy import save_file

from interest.catalog import read_jsonl
from interest.errors import InvalidRecord

SHARDS = "shards.jsonl"
SETTINGS = "settings.json"
"""How the features were made; serving makes a new video's with the same."""
SHARD_VIDEOS = 64
DTYPES: dict[str, np.dtype[Any]] = {"U8": np.dtype("u1"), "F32": np.dtype("<f4")}


class Shard(msgspec.Struct, frozen=True, kw_only=True):
    """A line of `shards.jsonl`: the digest of the shard's file and the videos of its rows, in order."""

    blob: str
    video_ids: tuple[str, ...]


@dataclass(frozen=True)
class Tensor:
    """Where a tensor lies in a shard's file; its first axis is the videos."""

    offset: int
    shape: tuple[int, ...]
    dtype: np.dtype[Any]


def write_shard(path: Path, tensors: Mapping[str, NDArray[Any]]) -> None:
    """Write the arrays [N, ...], which agree on N, as one safetensors file."""
    rows = {name: len(array) for name, array in tensors.items()}
    if len(set(rows.values())) > 1:
        raise InvalidRecord(f"shard {path.name}: tensors of different length {rows}")
    save_file({name: np.ascontiguousarray(array) for name, array in tensors.items()}, path)


def read_header(path: Path) -> dict[str, Tensor]:
    """The tensors of a safetensors file; raises `InvalidRecord` when it is cut or foreign."""
    try:
        with path.open("rb") as file:
            length = int.from_bytes(file.read(8), "little")
            size = path.stat().st_size
            if length > size:
                raise InvalidRecord(f"shard {path.name}: {size} bytes are too few; fetch it again")
            header = json.loads(file.read(length))
        tensors = {
            name: Tensor(8 + length + entry["data_offsets"][0], tuple(entry["shape"]), DTYPES[entry["dtype"]])
            for name, entry in header.items()
            if name != "__metadata__"
        }
        end = 8 + length + max((e["data_offsets"][1] for n, e in header.items() if n != "__metadata__"), default=0)
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise InvalidRecord(f"shard {path.name}: no readable safetensors file ({error}); fetch it again") from error
    if end != size:
        raise InvalidRecord(f"shard {path.name}: {size} bytes instead of {end}; fetch it again")
    return tensors


class FeatureSet:
    """The shards of a features folder, by row; rows are in the order of `video_ids`.

    Rows are read from the files when they are asked for and nothing is kept, not even a mapping: resident
    memory is that of one answer. `cache` holds each shard as `<blob>.safetensors`.
    """

    def __init__(self, folder: Path, cache: Path) -> None:
        self.shards = tuple(read_jsonl(folder / SHARDS, Shard))
        self.paths = [cache / f"{shard.blob}.safetensors" for shard in self.shards]
        self._headers = [read_header(path) for path in self.paths]
        self.video_ids = tuple(video_id for shard in self.shards for video_id in shard.video_ids)
        self.index = {video_id: row for row, video_id in enumerate(self.video_ids)}
        self._ends = np.cumsum([len(shard.video_ids) for shard in self.shards])
        for shard, header in zip(self.shards, self._headers, strict=True):
            for name, tensor in header.items():
                if tensor.shape[:1] != (len(shard.video_ids),):
                    raise InvalidRecord(
                        f"shard {shard.blob[:12]}: {name} has shape {tensor.shape} "
                        f"for {len(shard.video_ids)} videos; make the features again"
                    )

    def __len__(self) -> int:
        return len(self.video_ids)

    def rows(self, video_ids: Sequence[str]) -> NDArray[np.int64]:
        """Row of each video, [B]; -1 for one that is not here."""
        return np.array([self.index.get(video_id, -1) for video_id in video_ids], dtype=np.int64)

    def shape(self, name: str) -> tuple[int, ...]:
        """Shape of one video's row of the tensor `name`; raises `InvalidRecord` when there is none."""
        return self._tensor(0, name).shape[1:]

    def read(self, name: str, rows: Sequence[int] | NDArray[np.int64]) -> NDArray[Any]:
        """Rows of the tensor `name`, [B, ...]; zeros where the row is -1, so its `has_*` is 0 as well."""
        wanted = np.asarray(rows, dtype=np.int64)
        if len(wanted) and not -1 <= wanted.min() <= wanted.max() < len(self):
            raise InvalidRecord(f"rows {wanted.min()} to {wanted.max()}: outside of 0 to {len(self) - 1}")
        out = np.zeros((len(wanted), *self.shape(name)), self._tensor(0, name).dtype)
        places = np.searchsorted(self._ends, wanted, side="right")
        for number in np.unique(places[wanted >= 0]):
            first = int(self._ends[number]) - len(self.shards[number].video_ids)
            here = np.flatnonzero((places == number) & (wanted >= 0))
            self._fill(out, int(number), name, [(int(at), int(wanted[at]) - first) for at in here])
        return out

    def frames(self, rows: Sequence[int] | NDArray[np.int64]) -> NDArray[np.uint8]:
        """Pictures uint8 [B, W, T, S, S, 3]."""
        return self.read("frames", rows)

    def save(self, name: str, video_ids: Sequence[str], path: Path) -> NDArray[Any]:
        """Write the videos' rows as one .npy file, zeros for those not here; returns its memory map."""
        rows, dtype = self.rows(video_ids), self._tensor(0, name).dtype
        header = {"descr": dtype.str, "fortran_order": False, "shape": (len(rows), *self.shape(name))}
        with path.open("wb") as file:
            np.lib.format.write_array_header_2_0(file, header)
            for start in range(0, len(rows), SHARD_VIDEOS):
                file.write(self.read(name, rows[start : start + SHARD_VIDEOS]).data)
        saved: NDArray[Any] = np.load(path, mmap_mode="r")
        return saved

    def _tensor(self, number: int, name: str) -> Tensor:
        if number >= len(self._headers) or name not in self._headers[number]:
            raise InvalidRecord(f"no tensor {name!r} in the features; is this the folder of another step?")
        return self._headers[number][name]

    def _fill(self, out: NDArray[Any], number: int, name: str, pairs: list[tuple[int, int]]) -> None:
        """Copy (place in `out`, row in shard) from one shard's file."""
        tensor = self._tensor(number, name)
        row_bytes = out[:1].nbytes
        with self.paths[number].open("rb", buffering=0) as file:
            for at, row in pairs:
                file.seek(tensor.offset + row * row_bytes)
                if file.readinto(out[at : at + 1].reshape(-1).view(np.uint8).data) != row_bytes:
                    raise InvalidRecord(f"shard {self.paths[number].name}: cut while it is read; fetch it again")
