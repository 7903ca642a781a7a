"""The map keeps neighbours, stays the same for a seed, and places new points where they belong."""

from __future__ import annotations

import time
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from interest.errors import InvalidRecord, InvalidSetting
from interest.projection import FILE, Projection, fit

GROUPS, EACH, WIDTH = 6, 50, 32


def grouped(seed: int = 0, each: int = EACH) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """Six groups in 32 dimensions, eight standard deviations apart, with their numbers."""
    centres = np.random.default_rng(7).normal(size=(GROUPS, WIDTH))
    centres *= 8 / np.linalg.norm(centres, axis=1, keepdims=True)
    group = np.repeat(np.arange(GROUPS), each)
    return centres[group] + 0.5 * np.random.default_rng(seed).normal(size=(len(group), WIDTH)), group


def neighbours(rows: NDArray[np.floating], count: int) -> NDArray[np.int64]:
    """The nearest rows of each row by plain distances, itself left out."""
    distances = np.linalg.norm(rows[:, None] - rows[None], axis=2)
    np.fill_diagonal(distances, np.inf)
    return distances.argsort(axis=1)[:, :count]


@pytest.fixture(scope="module")
def projection() -> Projection:
    return fit(grouped()[0], seed=1, perplexity=20)


def test_neighbours_on_the_map_are_of_the_same_group(projection: Projection) -> None:
    group = grouped()[1]
    near = neighbours(projection.points, 10)
    assert (group[near] == group[:, None]).mean() > 0.99


def test_the_map_keeps_far_more_neighbours_than_two_principal_components() -> None:
    """A rolled-up sheet: its neighbourhoods are flat, but no plane through it shows them."""
    rng = np.random.default_rng(0)
    turn, depth = rng.uniform(4, 14, 400), rng.uniform(0, 20, 400)
    sheet = np.stack([turn * np.cos(turn), depth, turn * np.sin(turn)], axis=1)
    centred = sheet - sheet.mean(axis=0)
    flat = centred @ np.linalg.svd(centred, full_matrices=False)[2][:2].T

    def kept(points: NDArray[np.floating]) -> float:
        ours, true = neighbours(points, 10), neighbours(sheet, 10)
        return float(np.mean([len(set(a) & set(b)) / 10 for a, b in zip(ours, true, strict=True)]))

    assert kept(fit(sheet, seed=0).points) > kept(flat) + 0.2


def test_the_same_seed_gives_the_same_map(projection: Projection) -> None:
    again = fit(grouped()[0], seed=1, perplexity=20)
    assert np.array_equal(again.points, projection.points)
    assert not np.array_equal(fit(grouped()[0], seed=2, perplexity=20).points, projection.points)


def test_new_points_land_in_their_group_and_leave_the_map_as_it_is(projection: Projection) -> None:
    before = projection.points.copy()
    new, group = grouped(seed=3, each=10)
    placed = projection.transform(new)
    centres = np.stack([projection.points[grouped()[1] == g].mean(axis=0) for g in range(GROUPS)])
    nearest = np.linalg.norm(placed[:, None] - centres[None], axis=2).argmin(axis=1)
    assert placed.shape == (60, 2)
    assert (nearest == group).all()
    assert np.array_equal(projection.points, before)


def test_what_is_read_back_places_new_points_alike(tmp_path: Path, projection: Projection) -> None:
    projection.write(tmp_path)
    back = Projection.read(tmp_path)
    new = grouped(seed=4, each=2)[0]
    assert np.array_equal(back.points, projection.points)
    assert np.array_equal(back.transform(new), projection.transform(new))
    assert (back.seed, back.perplexity) == (1, 20)


def test_placing_one_point_is_quick(projection: Projection) -> None:
    new = grouped(seed=5, each=1)[0]
    projection.transform(new)
    started = time.perf_counter()
    projection.transform(new)
    assert time.perf_counter() - started < 10


@pytest.mark.parametrize("count", [0, 1, 2, 4, 5, 6, 10])
def test_few_points_have_a_place_each(count: int) -> None:
    rows = np.random.default_rng(0).normal(size=(count, 8))
    projection = fit(rows, seed=0)
    assert projection.points.shape == (count, 2)
    assert np.isfinite(projection.points).all()
    assert len(np.unique(projection.points, axis=0)) == count
    if count:
        assert np.isfinite(projection.transform(rows)).all()
    assert projection.transform(np.zeros((0, 8))).shape == (0, 2)


@pytest.mark.parametrize("rows", [np.ones((30, 8)), np.arange(30.0)[:, None]])
def test_equal_or_one_dimensional_embeddings_get_finite_places(rows: NDArray[np.float64]) -> None:
    assert np.isfinite(fit(rows, seed=0).points).all()


def test_what_cannot_be_mapped_is_named(projection: Projection) -> None:
    rows = grouped()[0]
    rows[17, 3] = np.nan
    with pytest.raises(InvalidRecord, match="row 17 holds NaN"):
        fit(rows, seed=0)
    with pytest.raises(InvalidRecord, match="row 17 holds NaN"):
        projection.transform(rows)
    with pytest.raises(InvalidRecord, match=r"shape \(3,\)"):
        fit(np.zeros(3), seed=0)
    with pytest.raises(InvalidRecord, match="have 3 columns, the projection was fitted on 32"):
        projection.transform(np.zeros((1, 3)))
    with pytest.raises(InvalidRecord, match="fitted on no embedding"):
        fit(np.zeros((0, 3)), seed=0).transform(np.zeros((1, 3)))
    with pytest.raises(InvalidSetting, match=r"perplexity=0\.5 is below 1"):
        fit(rows, seed=0, perplexity=0.5)


def test_a_truncated_file_is_named(tmp_path: Path, projection: Projection) -> None:
    projection.write(tmp_path)
    (tmp_path / FILE).write_bytes((tmp_path / FILE).read_bytes()[:1000])
    with pytest.raises(InvalidRecord, match="no whole projection"):
        Projection.read(tmp_path)
