"""The verdict: whether anything drifted, at a stated level over all that was tested, and what, in plain words.

Columns, embeddings and slices each get an equal part of alpha (Bonferroni), within which their tests are corrected by
Holm: when nothing has changed, the chance of a verdict `drifted` is at most alpha, whatever depends on what.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import msgspec

from interest.drift import columns as by_column
from interest.drift import embeddings as by_embedding
from interest.drift import slices as by_slice
from interest.drift.columns import ALPHA, LEAST_DISTANCE, ColumnDrift
from interest.drift.embeddings import EmbeddingDrift, Vectors
from interest.drift.pairs import Table
from interest.drift.slices import SliceDrift
from interest.errors import InvalidSetting


class Verdict(msgspec.Struct, frozen=True, kw_only=True):
    """`reasons`: what drifted, a sentence each; `untested`: what could not be told, and why; `tests` were made."""

    drifted: bool
    alpha: float
    tests: int
    reasons: tuple[str, ...]
    untested: tuple[str, ...]
    columns: tuple[ColumnDrift, ...] = ()
    embeddings: tuple[EmbeddingDrift, ...] = ()
    slices: tuple[SliceDrift, ...] = ()


def verdict(
    reference: Table,
    current: Table,
    *,
    alpha: float = ALPHA,
    least: float = LEAST_DISTANCE,
    groups: str | None = None,
    columns: Sequence[str] | None = None,
    embeddings: Mapping[str, tuple[Vectors, Vectors]] | None = None,
    slices: Sequence[str] = (),
    outcomes: Sequence[str] = (),
    seed: int = 0,
) -> Verdict:
    """Compare two tables (or dicts of arrays [N]) column by column, and what else is given.

    `alpha`: the level of the whole verdict; `least`: the smallest distance that counts (see `columns`, `embeddings`);
    `groups`: the column whose rows belong together (viewers); `columns`: None for all; `slices`: the columns by whose
    levels each of `outcomes` is compared. Raises InvalidSetting for a level outside of (0, 1) or slices without
    outcomes, InvalidRecord naming a column or embedding that cannot be compared.
    """
    if not 0.0 < alpha < 1.0:
        raise InvalidSetting(f"alpha is {alpha}; a level within (0, 1) is needed")
    if bool(slices) != bool(outcomes):
        raise InvalidSetting(f"slices are {list(slices)}, outcomes {list(outcomes)}; they are needed together")
    each = alpha / (1 + bool(embeddings) + bool(slices))
    in_columns = by_column.compare(reference, current, columns, groups=groups, alpha=each, least=least)
    in_vectors = by_embedding.compare(embeddings or {}, alpha=each, least=least, seed=seed)
    in_slices = by_slice.compare(reference, current, slices, outcomes, groups=groups, alpha=each, least=least)
    found = [
        *((one.words, one.corrected, one.drifted) for one in in_columns),
        *((one.words, one.corrected, one.drifted) for one in in_vectors),
        *((one.words, one.outcome.corrected, one.outcome.drifted) for one in in_slices),
    ]
    return Verdict(
        drifted=any(drifted for _, _, drifted in found),
        alpha=alpha,
        tests=sum(p is not None for _, p, _ in found),
        reasons=tuple(words for words, _, drifted in found if drifted),
        untested=tuple(words for words, p, _ in found if p is None),
        columns=in_columns,
        embeddings=in_vectors,
        slices=in_slices,
    )
