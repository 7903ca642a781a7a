"""How often canaries decide rightly and how soon, beside a peeking z-test, Flagger's and Argo's threshold rules.

    python -m benchmarks.experiments [--runs 1000]

Each run is a whole experiment: viewers come every minute (some again), share steps, one look a minute, decided by
`interest.experiments.decision` as the reconciler does it. The rules beside it see the same viewers at the same looks.
Wrong without a difference is any verdict: the candidate is neither better nor worse.
"""

from __future__ import annotations

import argparse
import math
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import partial

import numpy as np

from benchmarks import joiner
from benchmarks.report import Row, record
from interest.experiments.decision import Phase, Statistics, Status, Surroundings, Tally, decide
from interest.experiments.panel import Panel, ViewerWindow
from interest.experiments.sample_ratio import check
from interest.experiments.spec import Spec

STABLE, CANDIDATE = "a" * 64, "b" * 64
MINUTE_MS = 60_000
PAGE = 5
AGAIN = 0.3
"""Share of a minute's viewers that were there before."""
NORMAL_975 = 1.959964


@dataclass(frozen=True)
class World:
    """`lift` relative; `lost` of the candidate arm's viewers never reach the data; `rate` viewers a minute."""

    lift: float = 0.0
    lost: float = 0.0
    rate: int = 1000
    minutes: int = 60
    steps: tuple[float, ...] = (0.05, 0.25, 0.5)


@dataclass(frozen=True)
class Verdict:
    """How one experiment ended; `z_test` and `thresholds` say at which minute the rules beside it gave a verdict."""

    phase: Phase
    minute: int
    by_data: bool
    imbalance: int | None
    z_test: int | None
    flagger: bool
    argo: bool


def run(world: World, seed: int) -> Verdict:
    """One experiment from beginning to end."""
    rng = np.random.default_rng(seed)
    spec = Spec(candidate=CANDIDATE, stable=STABLE, share=world.steps, step_after="5m", window="1m",
                deadline=f"{world.minutes}m", guardrails=())  # fmt: skip
    around = Surroundings(served=STABLE)
    status = decide(spec, Status(), Statistics(), around, 0)
    crowd, panel, rules = _Crowd(world, rng), Panel(1, spec.alpha), _Rules()
    counts: dict[float, list[int]] = {}
    imbalance = None
    minute = 0
    while not status.phase.ended:
        minute += 1
        window, new = crowd.minute(status.share)
        panel.add(window)
        kept = counts.setdefault(status.share, [0, 0])
        kept[0] += int((~window.candidate[new]).sum())
        kept[1] += int(window.candidate[new].sum())
        ratio = check({share: (n[0], n[1]) for share, n in counts.items()})
        if ratio.broken and imbalance is None:
            imbalance = minute
        rules.look(minute, window)
        statistics = Statistics(
            data_ms=minute * MINUTE_MS, viewers=(int(panel.arms[0]), int(panel.arms[1])), primary=panel.estimate(0),
            sample_ratio=ratio, candidate=Tally(requests=int(panel.arms[1])),
        )  # fmt: skip
        status = decide(spec, status, statistics, around, minute * MINUTE_MS)
    by_data = not status.reason.startswith("the deadline")
    return Verdict(status.phase, minute, by_data, imbalance, rules.z_test, rules.flagger, rules.argo)


class _Crowd:
    """Viewers with a place in [0, 1) that decides the arm, and a chance to engage that the baseline knows roughly."""

    def __init__(self, world: World, rng: np.random.Generator) -> None:
        self.world, self.rng = world, rng
        self.known = 0
        most = world.rate * world.minutes + world.rate
        # Filled as viewers come, since most experiments end early.
        self.place, self.chance, self.baseline = np.empty(most), np.empty(most), np.empty(most)
        self.lost = np.empty(most, bool)

    def minute(self, share: float) -> tuple[ViewerWindow, np.ndarray]:
        """Who comes in a minute and what they do; the mask of the new ones among them."""
        old = np.empty(0, np.int64)
        if self.known:
            again = self.rng.integers(0, self.known, round(AGAIN * self.world.rate))
            old = np.unique(again)
        first = self.known
        self.known += self.world.rate - len(old)
        self._come(slice(first, self.known))
        who = np.concatenate([old, np.arange(first, self.known)])
        candidate = self.place[who] < share
        there = ~(candidate & self.lost[who])
        who, candidate = who[there], candidate[there]
        chance = np.clip(self.chance[who] * (1.0 + self.world.lift * candidate), 0, 1)
        engaged = self.rng.binomial(PAGE, chance) / PAGE
        window = ViewerWindow(
            viewer=who.astype(np.uint64), candidate=candidate, propensity=np.full(len(who), share),
            baseline=self.baseline[who], outcomes=engaged[:, None],
        )  # fmt: skip
        return window, who >= first

    def _come(self, new: slice) -> None:
        rng, many = self.rng, new.stop - new.start
        self.place[new], self.chance[new] = rng.random(many), rng.beta(3.0, 5.0, many)
        self.baseline[new] = np.clip(self.chance[new] + rng.normal(0, 0.1, many), 0, 1)
        self.lost[new] = rng.random(many) < self.world.lost


class _Rules:
    """What others decide by, at the same looks: a z-test on all so far; thresholds on the last minute alone.

    Flagger: five failed checks roll back. Argo: a fourth failed measurement does. A check fails when the
    candidate engages less than the stable one by more than 5%, which is how both are set up in practice.
    """

    TOLERANCE, FLAGGER, ARGO = 0.05, 5, 4

    def __init__(self) -> None:
        self.sums = np.zeros((2, 3))
        self.failed = 0
        self.z_test: int | None = None

    @property
    def flagger(self) -> bool:
        """Whether it would have rolled back."""
        return self.failed >= self.FLAGGER

    @property
    def argo(self) -> bool:
        """Whether it would have rolled back."""
        return self.failed >= self.ARGO

    def look(self, minute: int, window: ViewerWindow) -> None:
        """The next minute."""
        arms = [window.outcomes[window.candidate == bool(arm), 0] for arm in (0, 1)]
        if not all(len(arm) for arm in arms):
            return
        self.failed += bool(arms[1].mean() < (1.0 - self.TOLERANCE) * arms[0].mean())
        self.sums += [[len(arm), arm.sum(), (arm**2).sum()] for arm in arms]
        n, mean = self.sums[:, 0], self.sums[:, 1] / self.sums[:, 0]
        error = math.sqrt(float(((self.sums[:, 2] / n - mean**2) / n).sum()))
        if self.z_test is None and error > 0 and abs(mean[1] - mean[0]) / error > NORMAL_975:
            self.z_test = minute


def fixed_minutes(world: World, power: float) -> float:
    """Minutes that a test looked at once, at half and half, needs for that power at the 5% level; analytic."""
    from scipy.stats import norm

    draws = np.random.default_rng(0).beta(3.0, 5.0, 200_000)
    outcome = np.random.default_rng(1).binomial(PAGE, draws) / PAGE
    effect = abs(world.lift) * outcome.mean()
    viewers = 4.0 * outcome.var() * (NORMAL_975 + norm.ppf(min(power, 0.9999))) ** 2 / effect**2
    return float(viewers / world.rate)


def many(world: World, runs: int, pool: ProcessPoolExecutor) -> list[Verdict]:
    """That many experiments in one world, each with its seed."""
    return list(pool.map(partial(run, world), range(runs), chunksize=10))


def share(verdicts: Sequence[Verdict], holds: Callable[[Verdict], bool]) -> tuple[float, tuple[float, float]]:
    """How many of them, with Wilson's 95% interval."""
    n, k = len(verdicts), sum(map(holds, verdicts))
    z2 = NORMAL_975**2
    middle = (k + z2 / 2) / (n + z2)
    half = NORMAL_975 / (n + z2) * math.sqrt(k * (n - k) / n + z2 / 4)
    return k / n, (max(0.0, middle - half), min(1.0, middle + half))


def measure(runs: int) -> list[Row]:
    """All figures."""
    with ProcessPoolExecutor() as pool:
        rows = _null(many(World(), runs, pool))
        rows += _loss(many(loss := World(lift=-0.05, rate=10_000, minutes=240), runs, pool), loss)
        rows += _gain(many(gain := World(lift=0.05, rate=10_000, minutes=240), runs, pool), gain)
        rows += _imbalance(many(World(lost=0.01, rate=40_000, steps=(0.5,)), runs, pool))
    return rows


def _null(verdicts: list[Verdict]) -> list[Row]:
    value, interval = share(verdicts, lambda one: one.by_data)
    rows: list[Row] = [_row("null_wrong_share", value, interval, "lower")]
    rows[0]["peer"], rows[0]["peer_value"] = "z-test at each look", share(verdicts, lambda v: v.z_test is not None)[0]
    for name, rule in (("flagger", lambda v: v.flagger), ("argo", lambda v: v.argo)):
        value, interval = share(verdicts, rule)
        rows.append(_row(f"null_wrong_share_{name}", value, interval, "lower"))
    return rows


def _loss(verdicts: list[Verdict], world: World) -> list[Row]:
    found = lambda one: one.phase is Phase.ROLLED_BACK  # noqa: E731
    return [_row("loss5_rolled_back_share", *share(verdicts, found)), *_time("loss5", verdicts, found, world)]


def _gain(verdicts: list[Verdict], world: World) -> list[Row]:
    found = lambda one: one.phase is Phase.PROMOTED  # noqa: E731
    return [_row("gain5_promoted_share", *share(verdicts, found)), *_time("gain5", verdicts, found, world)]


def _time(name: str, verdicts: list[Verdict], found: Callable[[Verdict], bool], world: World) -> list[Row]:
    minutes = [one.minute for one in verdicts if found(one)]
    low, median, high = np.percentile(minutes, (5, 50, 95))
    fixed = fixed_minutes(world, len(minutes) / len(verdicts))
    return [
        {
            "name": f"{name}_median_min", "value": float(median), "unit": "min", "better": "lower",
            "interval": (float(low), float(high)), "peer": "fixed horizon, half and half from the start",
            "peer_value": fixed, "ratio": fixed / float(median),
        }
    ]  # fmt: skip


def _imbalance(verdicts: list[Verdict]) -> list[Row]:
    return [_row("imbalance_found_share", *share(verdicts, lambda v: v.imbalance is not None and not v.by_data))]


def _row(name: str, value: float, interval: tuple[float, float], better: str = "higher") -> Row:
    return {"name": name, "value": value, "unit": "", "better": better, "interval": interval}  # type: ignore[typeddict-item]


def main() -> None:
    """Measure, print and keep the figures."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.experiments", description=__doc__.partition("\n")[0])
    parser.add_argument("--runs", type=int, default=1000, help="simulated experiments of each kind")
    options = parser.parse_args()
    began = time.monotonic()
    record("experiments", [*measure(options.runs), *joiner.rows(joiner.measure())])
    print(f"{time.monotonic() - began:.0f} s")


if __name__ == "__main__":
    main()
