"""Viewers of the simulated world: sessions, the logging policy, and what each viewer does with what is shown."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from interest.records import watch_threshold_ms
from interest.simulator.oracle import HonestFilter
from interest.simulator.world import Floats, VideoLatents, WorldParams, examination, sigmoid

Ints = NDArray[np.int64]
Bools = NDArray[np.bool_]
Progress = Callable[[int, int], None]
EVERYBODY = slice(None)


@dataclass(frozen=True)
class Impressions:
    """The log as a matrix, [viewers, steps] each; row = viewer, column = that viewer's n-th impression.

    `new_session` marks a session's first impression; `base` is h without the taste term bz z.t, known
    to an observer of the log; `p_latent` the true probability of engaging, given the viewer's taste;
    `p_honest` what the best predictor gives who must learn that taste from the log (see oracle.py).
    """

    video: Ints
    ts_ms: Ints
    position: Ints
    randomised: Bools
    new_session: Bools
    p_honest: Floats
    base: Floats
    p_latent: Floats
    engaged: Bools
    watch_ms: Ints
    liked: Bools


class Viewers:
    """The state of all viewers between impressions; `act` makes them react to what they are shown."""

    def __init__(self, count: int, seed: int, latents: VideoLatents) -> None:
        self.latents, self.params = latents, latents.params
        self.rng = np.random.default_rng([seed, 3])
        k = self.params.topics
        self.taste = self.rng.standard_normal((count, k))
        self.fatigue = np.zeros((count, k))
        self.watched = np.zeros(count)
        self.mood = np.full(count, 0.3)
        self.thresholds_ms = np.array([watch_threshold_ms(s) for s in latents.length_s], np.int64)
        self._topics = latents.t

    def begin_session(self, who: Bools) -> None:
        """Taste drifts (z <- rho z + sqrt(1 - rho^2) xi), fatigue fades, the count restarts."""
        p = self.params
        drift = self.rng.standard_normal(self.taste.shape)
        moved = p.rho * self.taste + np.sqrt(1.0 - p.rho**2) * drift
        self.taste = np.where(who[:, None], moved, self.taste)
        self.fatigue = np.where(who[:, None], p.fatigue_new_session * self.fatigue, self.fatigue)
        self.watched = np.where(who, 0.0, self.watched)
        self.mood = np.where(who, 0.3, self.mood)

    def base(self, video: Ints, who: Ints | slice = EVERYBODY) -> Floats:
        """h without taste: b0 + bq q - bf s.theta - bn n - bl log(l/20)."""
        p, v = self.params, self.latents
        return np.asarray(
            p.b0
            + p.bq * v.q[video]
            - p.bf * np.einsum("nk,nk->n", self.fatigue[who], v.theta[video])
            - p.bn * self.watched[who]
            - p.bl * np.log(v.length_s[video] / p.length_median_s)
        )

    def act(
        self, video: Ints, position: Ints, who: Ints | slice = EVERYBODY
    ) -> tuple[Floats, Floats, Bools, Ints, Bools]:
        """React to one impression each: (base, p_latent, engaged, watch_ms, liked), one of each a viewer.

        `who` are the rows of the viewers that `video` and `position` are for, none twice.
        """
        p, v, rng = self.params, self.latents, self.rng
        base = self.base(video, who)
        h = base + p.bz * np.einsum("nk,nk->n", self.taste[who], self._topics[video])
        chance = examination(position, p) * sigmoid(h)
        engaged = rng.random(len(video)) < chance
        length = v.length_s[video]
        mean = sigmoid(0.2 + 0.5 * h - 0.3 * np.log(length / p.length_median_s))
        long = rng.beta(6.0 * mean, 6.0 * (1.0 - mean))
        short = np.minimum(1.0, rng.exponential(p.skim_s, len(video)) / length)
        ratio = np.where(engaged, long, short)
        watch_ms = (ratio * length * 1000).astype(np.int64)
        threshold = self.thresholds_ms[video]
        watch_ms = np.where(engaged, watch_ms, np.minimum(watch_ms, threshold - 1))
        liked = engaged & (watch_ms < threshold)
        self.fatigue[who] = p.fatigue_decay * self.fatigue[who] + v.theta[video] * ratio[:, None]
        self.watched[who] += 1.0
        self.mood[who] = (1.0 - p.engagement_ema) * self.mood[who] + p.engagement_ema * engaged
        return base, chance, engaged, watch_ms, liked

    def leaves(self, who: Ints | slice = EVERYBODY) -> Bools:
        """Who of them ends the session now."""
        p = self.params
        fading = p.leave_per_event * self.watched[who] - p.leave_engagement * self.mood[who]
        chance = sigmoid(p.leave_intercept + fading)
        return self.rng.random(len(chance)) < chance


def simulate(
    latents: VideoLatents,
    viewers: int,
    events_per_viewer: int,
    seed: int,
    on_progress: Progress | None = None,
) -> Impressions:
    """Let viewers loose on the logging policy: half popularity, half noisy personalised, a tenth at random.

    The policy personalises by the honest filter's belief, never by the true taste: what it shows then
    tells nothing that the log does not, and the honest predictor stays the best possible.
    """
    p = latents.params
    crowd = Viewers(viewers, seed, latents)
    belief = HonestFilter(viewers, latents)
    policy = _Policy(latents, np.random.default_rng([seed, 4]))
    rng = np.random.default_rng([seed, 5])
    clock, late = _starts(viewers, p, rng)
    gap_median_h = p.session_gap_median_h * np.where(late, p.late_viewers_gap, 1.0)
    fresh = np.ones(viewers, bool)
    columns: list[tuple[NDArray, ...]] = []  # type: ignore[type-arg]
    for step in range(events_per_viewer):
        crowd.begin_session(fresh)
        belief.begin_session(fresh)
        video, randomised = policy.choose(belief.mean, clock)
        position = rng.integers(1, p.positions + 1, viewers)
        outcome = crowd.act(video, position)
        foreseen = belief.step(video, position, base=outcome[0], engaged=outcome[2])
        columns.append((video, clock, position, randomised, fresh, foreseen, *outcome))
        fresh = crowd.leaves()
        pause = np.where(
            fresh,
            3_600_000 * rng.lognormal(np.log(gap_median_h), p.session_gap_sigma),
            1000 * rng.uniform(0.5, 4.0, viewers),
        )
        clock = clock + outcome[3] + pause.astype(np.int64)
        if on_progress:
            on_progress(step + 1, events_per_viewer)
    return Impressions(*(np.column_stack(column) for column in zip(*columns, strict=True)))


def _starts(viewers: int, p: WorldParams, rng: np.random.Generator) -> tuple[Ints, Bools]:
    """First moments, and who is late: `late_viewers_share` come near the end (cold viewers) and return sooner."""
    late = rng.random(viewers) < p.late_viewers_share
    fraction = np.where(late, rng.uniform(p.late_from, 0.9, viewers), rng.uniform(0.0, 0.5, viewers))
    return p.start_ms + (fraction * p.horizon_days * 86_400_000).astype(np.int64), late


class _Policy:
    """The logging policy; only videos already published are shown."""

    def __init__(self, latents: VideoLatents, rng: np.random.Generator) -> None:
        self.latents, self.params, self.rng = latents, latents.params, rng
        self.order = np.argsort(latents.published_ms, kind="stable")
        self.published = latents.published_ms[self.order]
        appeal = np.exp(0.7 * latents.q + 0.7 * rng.standard_normal(len(latents)))[self.order]
        self.mass = np.cumsum(appeal)
        self.topics = latents.t

    def choose(self, taste: Floats, clock: Ints) -> tuple[Ints, Bools]:
        """One video for every viewer at that viewer's moment, and whether it was drawn uniformly."""
        p, rng, viewers = self.params, self.rng, len(clock)
        alive = np.maximum(np.searchsorted(self.published, clock, side="right"), 1)
        popular = np.searchsorted(self.mass, rng.random(viewers) * self.mass[alive - 1], side="right")
        popular = self.order[np.minimum(popular, alive - 1)]
        slate = self.order[(rng.random((viewers, p.slate)) * alive[:, None]).astype(np.int64)]
        liking = np.einsum("nk,nsk->ns", taste, self.topics[slate]) + 0.5 * self.latents.q[slate]
        liking += p.policy_noise * rng.standard_normal(liking.shape)
        personal = slate[np.arange(viewers), liking.argmax(1)]
        randomised = rng.random(viewers) < p.randomised_share
        by_popularity = rng.random(viewers) < p.popularity_share
        return np.where(randomised, slate[:, 0], np.where(by_popularity, popular, personal)), randomised
