"""Whether vectors moved: a classifier that tells current from reference ones on held-out data, and permutation MMD.

The classifier (Lopez-Paz, Oquab, "Revisiting classifier two-sample tests", ICLR 2017) sees all rows and finds small
shifts that are spread over many directions; what it finds is an AUC, which means the same at any number of rows. MMD
(Gretton et al., "A kernel two-sample test", JMLR 2012) makes no assumption about the kind of change, on few rows.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import msgspec
import numpy as np
from numpy.typing import NDArray
from scipy.special import stdtr

from interest.drift.columns import ALPHA, LEAST_DISTANCE, too_few
from interest.drift.homogeneity import effective_groups
from interest.drift.multiplicity import holm
from interest.drift.pairs import SIDES
from interest.errors import InvalidRecord

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

LEAST_UNITS = 100
"""Vectors (or groups) that each table must have: half of them train the classifier."""
COMPONENTS = 16
"""Principal components whose products the classifier sees, so that it finds what a mean does not tell."""
RIDGE = 0.1
SAMPLE = 500
PERMUTATIONS = 999


@dataclass(frozen=True)
class Vectors:
    """`values` [N, D], finite; `groups` [N] where vectors of one viewer are no independent draws."""

    values: NDArray[np.floating]
    groups: NDArray[np.generic] | None = None


class EmbeddingDrift(msgspec.Struct, frozen=True, kw_only=True):
    """One embedding. `auc` of the classifier on held-out vectors, .5 when nothing can be told apart; `mmd`, the
    distance of the kernel means, in [0, sqrt 2]. `corrected`: for both tests and all embeddings together.
    """

    name: str
    rows: tuple[int, int]
    auc: float | None = None
    classifier_p: float | None = None
    mmd: float | None = None
    mmd_p: float | None = None
    corrected: float | None = None
    drifted: bool = False
    words: str = ""


def compare(
    embeddings: Mapping[str, tuple[Vectors, Vectors]],
    *,
    alpha: float = ALPHA,
    least: float = LEAST_DISTANCE,
    seed: int = 0,
) -> tuple[EmbeddingDrift, ...]:
    """Each embedding's (reference, current) vectors; the same for the same seed.

    It has drifted when either test says so, Bonferroni's half of the level each; the classifier's word counts from an
    AUC of .5 + `least` on. The chance that any is called drifted when none has changed is at most `alpha`.
    Raises InvalidRecord for vectors of other shapes, or not finite.
    """
    found = [_measure(name, *pair, np.random.default_rng([seed, 7])) for name, pair in embeddings.items()]
    corrected = holm([_either(one, least) for one in found])
    return tuple(
        msgspec.structs.replace(one, corrected=p, drifted=p is not None and p <= alpha)
        for one, p in zip(found, corrected, strict=True)
    )


def held_out_classifier(
    reference: Floats, current: Floats, groups: tuple[Ints, Ints], rng: np.random.Generator
) -> tuple[float, float]:
    """AUC on held-out vectors, [N, D] and [M, D], and the p-value of it being above one half.

    A regularised linear discriminant on half of the groups; vectors of one group are never on both sides. The
    variance of the AUC is that of whole groups' placements (DeLong et al., Biometrics 1988; Obuchowski, Biometrics
    1997 for groups), which for independent vectors is the Mann-Whitney test.
    """
    train = rng.permutation(1 + max(int(one.max()) for one in groups)) % 2 == 0
    first, second = train[groups[0]], train[groups[1]]
    expand = _features(np.concatenate([reference[first], current[second]]))
    weights = _discriminant(expand(reference[first]), expand(current[second]))
    scores = (expand(reference[~first]) @ weights, expand(current[~second]) @ weights)
    return area_above_half(*scores, (groups[0][~first], groups[1][~second]))


def area_above_half(reference: Floats, current: Floats, groups: tuple[Ints, Ints]) -> tuple[float, float]:
    """The chance that a current score [M] is above a reference one [N], ties half, and its p-value, one-sided."""
    higher = _placements(np.sort(reference), current)
    lower = 1.0 - _placements(np.sort(current), reference)
    auc = float(higher.mean())
    count = 1 + max(int(one.max()) for one in groups)
    added = np.bincount(groups[1], (higher - auc) / len(higher), count)
    added += np.bincount(groups[0], (lower - auc) / len(lower), count)
    effective = min(effective_groups(np.bincount(one).astype(np.float64)) for one in groups)
    error = float(np.sqrt(effective / (effective - 1.0) * (added**2).sum()))
    if error == 0.0:
        return auc, 0.0 if auc > 0.5 else 1.0
    return auc, float(stdtr(effective - 1.0, (0.5 - auc) / error))


def permutation_mmd(
    reference: Floats, current: Floats, rng: np.random.Generator, permutations: int = PERMUTATIONS
) -> tuple[float, float]:
    """MMD of [N, D] and [M, D], independent rows, and its permutation p-value, at least 1 / (permutations + 1).

    Gaussian kernel, its bandwidth the median distance of all rows, which no permutation changes.
    """
    pooled = np.concatenate([reference, current])
    pooled = pooled - pooled.mean(0)
    squares = (pooled**2).sum(1)
    distances = np.maximum(squares[:, None] + squares - 2.0 * pooled @ pooled.T, 0.0)
    np.fill_diagonal(distances, 0.0)
    apart = distances[distances > 0]
    if not len(apart):
        return 0.0, 1.0
    kernel = np.exp(-distances / np.median(apart))
    n, m = len(reference), len(current)
    weights = np.concatenate([np.full(n, -1.0 / n), np.full(m, 1.0 / m)])
    drawn = rng.permuted(np.tile(weights, (permutations, 1)), axis=1)
    drawn = np.concatenate([weights[None], drawn])
    # The diagonal adds the same to each: left in, no order changes.
    found = np.einsum("bi,bi->b", drawn @ kernel, drawn)
    p_value = float((found[1:] >= found[0] - 1e-12).sum() + 1) / (permutations + 1)
    within = [
        (block.sum() - len(block)) / (len(block) * (len(block) - 1)) for block in (kernel[:n, :n], kernel[n:, n:])
    ]
    return float(np.sqrt(max(0.0, sum(within) - 2.0 * kernel[:n, n:].mean()))), p_value


def _measure(name: str, reference: Vectors, current: Vectors, rng: np.random.Generator) -> EmbeddingDrift:
    values = _checked(name, reference, current)
    rows = (len(values[0]), len(values[1]))
    groups = _groups(name, reference, current)
    units = (len(np.unique(groups[0])), len(np.unique(groups[1])))
    if few := too_few(units, "vectors" if reference.groups is None else "groups", LEAST_UNITS):
        return EmbeddingDrift(name=name, rows=rows, words=f"{name}: {few}")
    auc, classifier_p = held_out_classifier(*values, groups, rng)
    drawn = [one[_one_each(owner, rng)] for one, owner in zip(values, groups, strict=True)]
    mmd, mmd_p = permutation_mmd(drawn[0], drawn[1], rng)
    words = f"{name}: a classifier tells current vectors from reference ones with an AUC of {auc:.2f}, MMD {mmd:.2f}"
    return EmbeddingDrift(
        name=name, rows=rows, auc=auc, classifier_p=classifier_p, mmd=mmd, mmd_p=mmd_p, words=words
    )  # fmt: skip


def _either(one: EmbeddingDrift, least: float) -> float | None:
    """The p-value of both tests together."""
    if one.classifier_p is None or one.mmd_p is None or one.auc is None:
        return None
    return min(1.0, 2.0 * min(one.classifier_p if one.auc >= 0.5 + least else 1.0, one.mmd_p))


def _checked(name: str, reference: Vectors, current: Vectors) -> tuple[Floats, Floats]:
    values = []
    for vectors, side in zip((reference, current), SIDES, strict=True):
        one = np.asarray(vectors.values)
        if one.ndim != 2 or one.shape[1] != np.asarray(reference.values).shape[-1]:
            raise InvalidRecord(
                f"embedding {name!r}: the {side} vectors are of shape {one.shape}; [N, D] is needed, D the same in both"
            )
        wrong = ~np.isfinite(one).all(1)
        if wrong.any():
            raise InvalidRecord(
                f"embedding {name!r}: row {int(wrong.argmax()) + 1} of the {side} vectors is not finite"
            )
        values.append(one.astype(np.float64))
    return values[0], values[1]


def _groups(name: str, reference: Vectors, current: Vectors) -> tuple[Ints, Ints]:
    """Groups as numbers from 0, over both; without any, each vector is one."""
    first, second = len(reference.values), len(current.values)
    if reference.groups is None and current.groups is None:
        return np.arange(first), first + np.arange(second)
    if reference.groups is None or current.groups is None:
        raise InvalidRecord(f"embedding {name!r}: both tables need groups, or none of them")
    if (len(reference.groups), len(current.groups)) != (first, second):
        raise InvalidRecord(f"embedding {name!r}: each vector needs its group")
    numbers = np.unique(np.concatenate([reference.groups, current.groups]), return_inverse=True)[1]
    return numbers[:first], numbers[first:]


def _one_each(groups: Ints, rng: np.random.Generator) -> Ints:
    """Rows of at most `SAMPLE` groups, one of each, at random."""
    order = rng.permutation(len(groups))
    first = np.unique(groups[order], return_index=True)[1]
    return np.asarray(order[rng.permutation(first)[:SAMPLE]])


def _features(rows: Floats) -> Callable[[Floats], Floats]:
    """What the classifier sees of a vector: its standardised coordinates, and products of principal components."""
    mean, spread = rows.mean(0), rows.std(0)
    spread = np.where(spread > 0, spread, 1.0)
    scaled = (rows - mean) / spread
    variance, directions = np.linalg.eigh(scaled.T @ scaled / len(rows))
    kept = (variance > 1e-9)[-COMPONENTS:]
    whitening = directions[:, -COMPONENTS:][:, kept] / np.sqrt(variance[-COMPONENTS:][kept])
    left, right = np.triu_indices(whitening.shape[1])

    def expand(values: Floats) -> Floats:
        values = (values - mean) / spread
        components = values @ whitening
        return np.hstack([values, components[:, left] * components[:, right]])

    return expand


def _discriminant(reference: Floats, current: Floats) -> Floats:
    """Fisher's direction, its within-class covariance shrunk towards a multiple of one."""
    means = (reference.mean(0), current.mean(0))
    centred = np.concatenate([reference - means[0], current - means[1]])
    within = centred.T @ centred / len(centred)
    within[np.diag_indices_from(within)] += RIDGE * max(np.trace(within) / len(within), 1e-12)
    return np.asarray(np.linalg.solve(within, means[1] - means[0]))


def _placements(ordered: Floats, values: Floats) -> Floats:
    """The share of `ordered` below each value, ties half."""
    low, high = np.searchsorted(ordered, values), np.searchsorted(ordered, values, side="right")
    return np.asarray((low + high) / (2.0 * len(ordered)))
