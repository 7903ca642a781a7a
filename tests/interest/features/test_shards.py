"""What was written comes back by row, a bad shard is named, and memory stays that of one answer."""

import resource

import msgspec
import numpy as np
import pytest
from safetensors.numpy import load_file

from interest.catalog import write_jsonl
from interest.errors import InvalidRecord
from interest.features.shards import SHARDS, FeatureSet, Shard, read_header, write_shard


def make(folder, sizes, shape=(2, 3), seed=0):
    """A features folder that is its own cache, and all rows in order."""
    rng = np.random.default_rng(seed)
    lines, rows = [], []
    for number, size in enumerate(sizes):
        frames = rng.integers(0, 256, (size, *shape), dtype=np.uint8)
        text = rng.normal(size=(size, 4)).astype(np.float32)
        write_shard(folder / f"b{number}.safetensors", {"frames": frames, "text": text})
        lines.append(Shard(blob=f"b{number}", video_ids=tuple(f"v{number}-{n}" for n in range(size))))
        rows.append((frames, text))
    write_jsonl(folder / SHARDS, lines)
    return tuple(np.concatenate(part) for part in zip(*rows, strict=True))


def test_rows_come_in_the_order_asked_for_and_as_often(tmp_path):
    frames, text = make(tmp_path, [4, 1, 3])
    features = FeatureSet(tmp_path, tmp_path)
    assert len(features) == 8
    for rows in ([0], [7, 0, 4, 4, 3], [], list(range(8))):
        np.testing.assert_array_equal(features.frames(rows), frames[rows].reshape(-1, 2, 3))
        np.testing.assert_array_equal(features.read("text", rows), text[rows].reshape(-1, 4))


def test_a_video_that_is_not_there_has_zeros(tmp_path):
    frames, _ = make(tmp_path, [2, 2])
    features = FeatureSet(tmp_path, tmp_path)
    rows = features.rows(["v1-1", "unknown", "v0-0"])
    assert rows.tolist() == [3, -1, 0]
    read = features.frames(rows)
    assert not read[1].any()
    np.testing.assert_array_equal(read[[0, 2]], frames[[3, 0]])


def test_all_rows_of_videos_as_one_mapped_file(tmp_path):
    frames, _ = make(tmp_path, [3, 70])
    features = FeatureSet(tmp_path, tmp_path)
    ids = [*reversed(features.video_ids), "unknown"]
    saved = features.save("frames", ids, tmp_path / "frames.npy")
    assert isinstance(saved, np.memmap) and saved.shape == (74, 2, 3)
    np.testing.assert_array_equal(saved[:-1], frames[::-1])
    assert not saved[-1].any()


def test_the_header_agrees_with_the_library(tmp_path):
    make(tmp_path, [5])
    path = tmp_path / "b0.safetensors"
    tensors, data = load_file(path), path.read_bytes()
    for name, tensor in read_header(path).items():
        whole = np.frombuffer(data, tensor.dtype, int(np.prod(tensor.shape)), tensor.offset)
        np.testing.assert_array_equal(whole.reshape(tensor.shape), tensors[name])


def test_reading_all_rows_takes_the_memory_of_one_batch(tmp_path):
    make(tmp_path, [64] * 4, shape=(4, 64, 64, 16))
    features = FeatureSet(tmp_path, tmp_path)
    features.frames([0])
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    for start in range(0, 256, 8):
        features.frames(range(start, start + 8))
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 20_000, "of 67 MB on disk"


@pytest.mark.parametrize(
    "damage",
    [
        lambda data: data[:-1],
        lambda data: data[:5],
        lambda _: b"",
        lambda data: b"\xff" * len(data),
        lambda data: data[:8] + b"x" + data[9:],
        lambda data: data + b"more",
    ],
)
def test_a_damaged_shard_is_named(tmp_path, damage):
    make(tmp_path, [2])
    path = tmp_path / "b0.safetensors"
    path.write_bytes(damage(path.read_bytes()))
    with pytest.raises(InvalidRecord, match=r"b0\.safetensors"):
        FeatureSet(tmp_path, tmp_path)


def test_wrong_names_rows_and_lengths_are_named(tmp_path):
    make(tmp_path, [2])
    features = FeatureSet(tmp_path, tmp_path)
    with pytest.raises(InvalidRecord, match="mfcc"):
        features.read("mfcc", [0])
    with pytest.raises(InvalidRecord, match="outside"):
        features.frames([2])
    with pytest.raises(InvalidRecord, match="different length"):
        write_shard(tmp_path / "x", {"a": np.zeros(2, np.uint8), "b": np.zeros(3, np.uint8)})
    (tmp_path / SHARDS).write_bytes(msgspec.json.encode(Shard(blob="b0", video_ids=("a",))))
    with pytest.raises(InvalidRecord, match="1 videos"):
        FeatureSet(tmp_path, tmp_path)
