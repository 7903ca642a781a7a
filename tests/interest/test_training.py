"""Training: the same bundle twice, the same bundle after a kill, and a bundle that refuses to lie."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import onnxruntime
import pytest
import torch

from interest.bundle import MANIFEST, Bundle, open_bundle, weights
from interest.datasets.samples import Split
from interest.datasets.windows import before
from interest.errors import InvalidBundle, InvalidSetting, NotEnoughData
from interest.history import Feedback, log_length
from interest.scoring import Scorer
from interest.simulator.oracle import impersonal
from interest.training.bundle import load_modules, train_bundle
from interest.training.collaborative import train_collaborative
from interest.training.fusion import Content, logits
from interest.training.settings import TrainSettings
from tests.interest.small_model import SETTINGS
from tests.interest.worlds import signal_features, small_world

PROGRAM = """
import sys
from pathlib import Path
from tests.interest.small_model import train
def report(label, unit):
    def tell(done, total):
        print(label, done, total, flush=True)
    return tell
folder, checkpoints = Path(sys.argv[1]), Path(sys.argv[2])
print("digest", train(folder, checkpoints=checkpoints, report=report).digest, flush=True)
"""


def start(folder: Path, checkpoints: Path) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", PROGRAM, str(folder), str(checkpoints)],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        cwd=Path(__file__).parents[2],
        env=os.environ | {"PYTHONWARNINGS": "ignore"},
    )


@pytest.mark.slow
def test_a_run_killed_in_its_second_stage_ends_in_the_same_bundle(bundle: Bundle, tmp_path: Path) -> None:
    killed = start(tmp_path / "first", tmp_path / "checkpoints")
    assert killed.stdout is not None
    for line in killed.stdout:
        label, done, total = line.rsplit(" ", 2)
        if label == "fusion" and int(done) > int(total) // 2:
            os.kill(killed.pid, signal.SIGKILL)
            break
    assert killed.wait() == -signal.SIGKILL
    killed.stdout.close()
    resumed, _ = start(tmp_path / "second", tmp_path / "checkpoints").communicate(timeout=240)
    first_done = next(int(line.split()[-2]) for line in resumed.splitlines() if line.startswith("fusion"))
    assert first_done > 1, "the resumed run began its second stage anew"
    assert resumed.splitlines()[-1] == f"digest {bundle.digest}"


def test_onnx_gives_what_torch_gives(bundle: Bundle) -> None:
    _, _, _, samples = small_world()
    arrays = {name: torch.from_numpy(value) for name, value in weights(bundle).items()}
    _, fusion = load_modules(arrays, dict(bundle.manifest))
    scorer, rows = Scorer(bundle), samples.rows(Split.TEST)[:64]
    histories, visible, now = before(samples, rows)
    candidates = np.random.default_rng(0).integers(-1, 60, (len(rows), 7))
    position = np.ones_like(candidates)
    state = scorer.encode_all(video=histories.video, kind=histories.kind, outcome=histories.outcome, length=visible)
    made = scorer.score(state, now, candidates, position)
    known = scorer.catalogue.items
    with torch.no_grad():
        items = fusion.items(torch.from_numpy(known.content), torch.from_numpy(log_length(known.duration_s)))
        expected = fusion.score(
            fusion.encode_viewer(
                items.token[histories.video],
                *(torch.from_numpy(x) for x in (histories.kind, histories.outcome, visible)),
            ),
            torch.from_numpy(now), items.take(torch.from_numpy(candidates)), torch.from_numpy(position),
        )  # fmt: skip
    np.testing.assert_allclose(made.probability, expected.probability.numpy(), atol=1e-4)
    np.testing.assert_allclose(made.contributions, expected.contributions.numpy(), atol=1e-4)
    np.testing.assert_allclose(made.contributions.sum(-1), made.logit, atol=1e-4)


def test_content_graphs_give_the_catalogues_content(bundle: Bundle) -> None:
    latents, _, _, _ = small_world()
    features, table = signal_features(latents), bundle.catalogue()
    inputs = {"video": features.frames, "audio": features.mfcc, "text": features.text}
    for number, (modality, array) in enumerate(inputs.items()):
        graph = onnxruntime.InferenceSession(bundle.graph(f"content_{modality}"))
        content = graph.run(["content"], {graph.get_inputs()[0].name: np.asarray(array)})[0]
        there = features.present[:, number]
        np.testing.assert_allclose(content[there], table.content[there, number], atol=1e-4)
        np.testing.assert_allclose(table.content[~there, number], table.missing[None, number], atol=1e-6)


def test_serving_one_viewer_gives_what_evaluation_gives_in_batches(bundle: Bundle) -> None:
    _, _, _, samples = small_world()
    scorer, rows = Scorer(bundle), samples.rows(Split.TEST)[:20]
    histories, visible, now = before(samples, rows)
    targets = samples.targets
    state = scorer.encode_all(video=histories.video, kind=histories.kind, outcome=histories.outcome, length=visible)
    batch = scorer.score(state, now, targets.video[rows][:, None], targets.position[rows][:, None])
    for i, row in enumerate(rows):
        first = samples.feedback_start[targets.viewer[row]]
        past = slice(first, first + targets.visible[row])
        feedback = Feedback(*(column[past] for column in vars(samples.feedback).values()))
        video, position = targets.video[row : row + 1], targets.position[row : row + 1]
        single = scorer.predict(feedback, int(targets.ts_ms[row]), video, position)
        np.testing.assert_allclose(single.probability[0], batch.probability[i], atol=1e-6)


def test_an_unknown_viewer_and_an_unknown_video_have_a_prediction(bundle: Bundle) -> None:
    nothing = Feedback(*(np.zeros(0, np.int64) for _ in range(5)))
    scorer = Scorer(bundle)
    made = scorer.predict(nothing, 0, scorer.catalogue.rows(["sim-00003", "never seen"]), np.array([1, 1]))
    assert ((made.probability > 0) & (made.probability < 1)).all()


def damaged(bundle: Bundle, folder: Path) -> Path:
    shutil.copytree(bundle.folder, folder)
    return folder


def test_a_changed_byte_is_refused(bundle: Bundle, tmp_path: Path) -> None:
    folder = damaged(bundle, tmp_path / "b")
    data = bytearray((folder / "scorer.onnx").read_bytes())
    data[len(data) // 2] ^= 1
    (folder / "scorer.onnx").write_bytes(data)
    with pytest.raises(InvalidBundle, match=r"scorer\.onnx is not what the manifest says"):
        open_bundle(folder)


def test_a_truncated_file_is_refused(bundle: Bundle, tmp_path: Path) -> None:
    folder = damaged(bundle, tmp_path / "b")
    data = (folder / "weights.safetensors").read_bytes()
    (folder / "weights.safetensors").write_bytes(data[:-7])
    with pytest.raises(InvalidBundle, match="truncated"):
        open_bundle(folder)


def test_a_missing_file_is_refused(bundle: Bundle, tmp_path: Path) -> None:
    folder = damaged(bundle, tmp_path / "b")
    (folder / "viewer_encoder.onnx").unlink()
    with pytest.raises(InvalidBundle, match=r"viewer_encoder\.onnx is missing"):
        open_bundle(folder)


def test_a_file_that_is_not_listed_is_refused(bundle: Bundle, tmp_path: Path) -> None:
    folder = damaged(bundle, tmp_path / "b")
    (folder / "extra.bin").write_bytes(b"x")
    with pytest.raises(InvalidBundle, match=r"extra\.bin"):
        open_bundle(folder)


@pytest.mark.parametrize("text", ["", "{", "[]", '{"format": "rapt.bundle/1", "files": 3}', '{"files": {}}'])
def test_a_broken_manifest_is_no_bundle(bundle: Bundle, tmp_path: Path, text: str) -> None:
    folder = damaged(bundle, tmp_path / "b")
    (folder / MANIFEST).write_text(text)
    with pytest.raises(InvalidBundle):
        open_bundle(folder)


def test_a_foreign_format_and_a_foreign_digest_are_refused(bundle: Bundle, tmp_path: Path) -> None:
    folder = damaged(bundle, tmp_path / "b")
    with pytest.raises(InvalidBundle, match="has sha256"):
        open_bundle(folder, "0" * 64)
    manifest = json.loads((folder / MANIFEST).read_text()) | {"format": "rapt.bundle/9"}
    (folder / MANIFEST).write_text(json.dumps(manifest))
    with pytest.raises(InvalidBundle, match=r"'rapt\.bundle/9'"):
        open_bundle(folder)


def test_a_manifest_may_not_name_files_outside_of_the_bundle(bundle: Bundle, tmp_path: Path) -> None:
    folder = damaged(bundle, tmp_path / "b")
    secret = tmp_path / "secret"
    secret.write_text("x")
    manifest = json.loads((folder / MANIFEST).read_text())
    manifest["files"]["../secret"] = {"sha256": "0" * 64, "bytes": 1}
    (folder / MANIFEST).write_text(json.dumps(manifest))
    with pytest.raises(InvalidBundle, match="outside of the bundle"):
        open_bundle(folder)


def test_settings_that_make_no_sense_are_refused() -> None:
    with pytest.raises(InvalidSetting, match="epochs is 0"):
        TrainSettings(epochs=0)


def test_too_few_videos_are_refused() -> None:
    latents, _, _, samples = small_world(videos=8)
    with pytest.raises(NotEnoughData, match="videos have impressions in training"):
        train_bundle(samples, signal_features(latents), SETTINGS, Path("unused"))


def test_every_viewer_of_the_log_has_an_embedding_that_knows_its_taste() -> None:
    latents, _, log, samples = small_world(videos=200, viewers=150, steps=100)
    made = train_collaborative(samples, SETTINGS)
    # Independent of the model: how often each viewer engaged beyond the world's own chance without taste.
    engaged = log.engaged.mean(1) - impersonal(log.base, log.video, log.position, latents).mean(1)
    order = [int(user.removeprefix("u")) for user in samples.users]
    assert made.taste.shape == (150, 12)
    assert np.corrcoef(made.bias.numpy(), engaged[order])[0, 1] > 0.5
    # And what it holds of a video's topics must be more than chance: 12 random columns explain 6% of 200 rows.
    seen = np.unique(samples.targets.video[samples.rows(Split.TRAIN)])
    design = np.column_stack([made.traits.numpy()[seen], np.ones(len(seen))])
    left = latents.t[seen] - design @ np.linalg.lstsq(design, latents.t[seen], rcond=None)[0]
    assert 1 - left.var() / latents.t[seen].var() > 0.15


def test_scoring_many_moments_in_one_pass_gives_what_one_by_one_gives(bundle: Bundle) -> None:
    _, _, _, samples = small_world(videos=60, viewers=12, steps=130)
    scorer, rows = Scorer(bundle), samples.rows(Split.TEST)
    arrays = {name: torch.from_numpy(value) for name, value in weights(bundle).items()}
    _, fusion = load_modules(arrays, dict(bundle.manifest))
    embeddings = torch.zeros(60, 3, fusion.config.embedding)
    absent, lengths = torch.zeros(60, 3, dtype=torch.bool), torch.from_numpy(log_length(samples.duration_s))
    content = Content(embeddings, absent, lengths)
    logit, look = logits(fusion, samples, content, rows)
    scorer = Scorer(bundle, drop=(0, 1, 2))
    np.testing.assert_array_equal(scorer.catalogue.duration_s[:-1], samples.duration_s)
    histories, visible, now = before(samples, rows)
    state = scorer.encode_all(video=histories.video, kind=histories.kind, outcome=histories.outcome, length=visible)
    made = scorer.score(state, now, samples.targets.video[rows][:, None], samples.targets.position[rows][:, None])
    assert (visible == 100).any()
    assert (visible < 100).any()
    np.testing.assert_allclose(logit, made.logit[:, 0], atol=1e-4)
    np.testing.assert_allclose(np.exp(look) / (1 + np.exp(-logit)), made.probability[:, 0], atol=1e-5)
