"""What a microphone hears of a simulated video: a plucked voice over a band of noise."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from interest.simulator.scales import geometric, linear, squash

TABLE = 2048
NOISE_LOOP = 1 << 15
LOUDNESS = 0.1
"""Root mean square of the whole, full scale being 1."""


@dataclass(frozen=True)
class Timbre:
    """The six attributes that carry the signal, one a coordinate; all show within any second."""

    pitch_hz: float
    tilt: float
    noise_db: float
    noise_centre_hz: float
    notes_per_s: float
    decay: float

    @staticmethod
    def of(signal: NDArray[np.float64]) -> Timbre:
        """Read a signal [6], each coordinate about N(0, 1)."""
        u = squash(signal)
        return Timbre(
            pitch_hz=geometric(150.0, 900.0, u[0]),
            tilt=linear(2.6, 0.5, u[1]),
            noise_db=linear(-24.0, 8.0, u[2]),
            noise_centre_hz=geometric(1000.0, 5500.0, u[3]),
            notes_per_s=geometric(2.0, 9.0, u[4]),
            decay=geometric(0.5, 8.0, u[5]),
        )


def play(
    signal: NDArray[np.float64], *, samples: int, sample_rate_hz: int, rng: np.random.Generator
) -> NDArray[np.float32]:
    """Mono sound in -1..1, float32 [samples].

    `rng` draws what carries nothing: phases, the melody's small steps, gain, the microphone's own noise.
    """
    timbre = Timbre.of(signal)
    voice = _voice(timbre, samples, sample_rate_hz, rng)
    voice /= math.sqrt(float(np.mean(voice * voice))) + 1e-9
    noise = _noise_loop(timbre, sample_rate_hz, rng)
    mixed = voice + np.resize(np.roll(noise, int(rng.integers(NOISE_LOOP))), samples)
    mixed *= LOUDNESS * 10 ** (rng.normal(0.0, 1.5) / 20) / math.sqrt(float(np.mean(mixed * mixed)))
    return np.clip(mixed, -1.0, 1.0)


def _voice(timbre: Timbre, samples: int, sample_rate_hz: int, rng: np.random.Generator) -> NDArray[np.float32]:
    note = np.arange(samples) * (timbre.notes_per_s / sample_rate_hz) + rng.uniform()
    number = note.astype(np.int32)
    steps = rng.normal(0.0, 0.5, int(number[-1]) + 1)
    cycles_per_sample = timbre.pitch_hz * 2 ** (steps / 12) / sample_rate_hz
    phase = np.cumsum(cycles_per_sample[number])
    position = ((phase - np.floor(phase)) * TABLE).astype(np.int32)
    table = _wave(timbre, sample_rate_hz, rng)
    envelope = np.exp((number - note).astype(np.float32) * np.float32(timbre.decay))
    return np.asarray(table[position] * envelope, dtype=np.float32)


def _wave(timbre: Timbre, sample_rate_hz: int, rng: np.random.Generator) -> NDArray[np.float32]:
    """One period of the voice, float32 [TABLE]; harmonics fall off by a power law, none beyond Nyquist."""
    harmonics = np.arange(1, max(2, int(0.46 * sample_rate_hz / timbre.pitch_hz)))
    spectrum = np.zeros(TABLE // 2 + 1, dtype=np.complex128)
    phases = rng.uniform(0, 2 * math.pi, len(harmonics))
    spectrum[harmonics] = harmonics**-timbre.tilt * np.exp(1j * phases)
    return np.fft.irfft(spectrum).astype(np.float32)


def _noise_loop(timbre: Timbre, sample_rate_hz: int, rng: np.random.Generator) -> NDArray[np.float32]:
    """Two seconds of band noise beside a voice of power 1, with the microphone's hiss 45 dB below."""
    frequency = np.fft.rfftfreq(NOISE_LOOP, 1 / sample_rate_hz) + 1.0
    band = np.exp(-0.5 * (np.log2(frequency / timbre.noise_centre_hz) / 0.35) ** 2)
    spectrum = np.fft.rfft(rng.standard_normal(NOISE_LOOP)) * band
    noise = np.fft.irfft(spectrum)
    noise *= 10 ** (timbre.noise_db / 20) / noise.std()
    return np.asarray(noise + rng.normal(0.0, 10 ** (-45 / 20), NOISE_LOOP), dtype=np.float32)
