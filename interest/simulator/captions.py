"""Latent signals to words: a short caption in which every coordinate picks words from an ordered scale."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from interest.simulator.scales import squash

MOOD = ["grieving", "mournful", "gloomy", "wistful", "calm", "content", "cheerful", "joyful", "ecstatic"]
PACE = ["sleepy", "sluggish", "slow", "unhurried", "steady", "brisk", "fast", "racing", "frantic"]
HEAT = ["arctic", "icy", "chilly", "cool", "mild", "warm", "hot", "scorching", "volcanic"]
ERA = [
    "prehistoric",
    "ancient",
    "medieval",
    "colonial",
    "victorian",
    "vintage",
    "modern",
    "digital",
    "futuristic",
]
PLACE = ["wilderness", "forest", "meadow", "farm", "village", "town", "suburb", "city", "metropolis"]
COMPANY = [
    "nobody",
    "one hermit",
    "a couple",
    "three friends",
    "a family",
    "a class",
    "a choir",
    "a crowd",
    "an army",
]
SCALES = (MOOD, PACE, HEAT, ERA, PLACE, COMPANY)
"""One ordered scale of words a coordinate, in the order of the coordinates."""

TEMPLATES = (
    "A {mood}, {pace} {thing} with {company} in the {era} {place}, {heat} weather",
    "{company} at the {place}: {heat} day, {pace} and {mood} {era} {thing}",
    "{era} {place} {thing} - {mood} {company}, {heat} air, {pace} moves",
    "{pace} {thing} from a {heat} {era} {place}, {mood}, feat. {company}",
    "When {company} meet in a {heat} {place}... {mood} {era} {thing}, {pace}",
)
THINGS = ["clip", "video", "story", "moment", "scene", "take", "short", "film"]


def caption(text: NDArray[np.float64], seed: int) -> str:
    """A short English caption that carries `text` [6]; `seed` draws order, fillers and the dithering.

    A coordinate between two words of its scale takes either, more often the nearer, for a smooth mean.
    """
    rng = np.random.default_rng([seed, 2])
    words = [_word(scale, u, rng) for scale, u in zip(SCALES, squash(text), strict=True)]
    mood, pace, heat, era, place, company = words
    template = TEMPLATES[int(rng.integers(len(TEMPLATES)))]
    thing = THINGS[int(rng.integers(len(THINGS)))]
    sentence = template.format(mood=mood, pace=pace, heat=heat, era=era, place=place, company=company, thing=thing)
    return sentence[0].upper() + sentence[1:]


def _word(scale: list[str], position: float, rng: np.random.Generator) -> str:
    place = position * len(scale) - 0.5 + rng.uniform(-0.5, 0.5)
    return scale[min(max(round(place), 0), len(scale) - 1)]
