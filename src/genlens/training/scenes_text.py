"""Stage 2 of the scenes generator: a text encoder that binds the words of a segment, trained on text alone.

As in the shapes generator: at the token that ends a segment (its comma, or the end of the text) the last hidden state
must be a hand-made vector - which class, how many, which kind and colour of background, whether a frame - and zero at
all other tokens.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from genlens.datasets.scenes import CONCEPTS
from genlens.datasets.scenes_drawing import COLOURS, KINDS
from genlens.training.scenes_data import Segment, sample_coupled, words_of
from genlens.training.shapes_data import GENERATOR_SEEDS
from genlens.training.shapes_text import fit_text_encoder, new_text_encoder, new_tokenizer, text_loss

if TYPE_CHECKING:
    from transformers import CLIPTextModel, PreTrainedTokenizerFast

MAX_TOKENS = 40
"""Enough for all ten classes with background and frame."""
WORDS = (*CONCEPTS, *KINDS, *COLOURS, "background", "frame", ",")
_COUNT, _KIND, _COLOUR, _FRAME, _NAMED = 10, 13, 18, 23, 24
TARGET_CHANNELS = 25
_OTHER = ("person", "2 couch", "Age: 1", "a photo of 3 dogs", "Findings:")


def target_of(segment: Segment) -> np.ndarray[Any, np.dtype[np.float32]]:
    """Hand-made vector (25,): class (10), count (1, 2, 3 or more), kind (5), colour (5), frame, says something."""
    vector = np.zeros(TARGET_CHANNELS, dtype=np.float32)
    what, first, second = segment
    if what == "other":
        return vector
    vector[_NAMED] = 1
    if what == "frame":
        vector[_FRAME] = 1
    elif what == "item":
        vector[first] = 1
        vector[_COUNT + min(second, 3) - 1] = 1
    else:
        vector[_KIND + first] = first >= 0
        vector[_COLOUR + second] = second >= 0
    return vector


def sample_segments(n: int, seed: int) -> tuple[list[list[Segment]], list[list[str]]]:
    """Segments and their words: the data set's captions, and others that a table's template may make."""
    rng = np.random.default_rng(seed)
    captions, texts = sample_coupled(n, seed, 0.5).segments(), []
    for segments in captions:
        if rng.random() < 0.25:
            rng.shuffle(segments)
        if rng.random() < 0.06:
            segments.insert(int(rng.integers(len(segments) + 1)), ("other", 0, 0))
        del segments[10:]
        loose = rng.random() < 0.3
        for place, (what, concept, _) in enumerate(segments):
            if what == "item" and rng.random() < 0.05:
                segments[place] = (what, concept, int(rng.integers(1, 10)))
        texts.append([_loose_words(s, rng) if loose or s[0] == "other" else words_of(s) for s in segments])
    return captions, texts


def _loose_words(segment: Segment, rng: np.random.Generator) -> str:
    """Other words for the same: "sneaker", "striped", "1 striped", "1 frame"."""
    if segment[0] == "other":
        return str(rng.choice(_OTHER))
    words = words_of(segment)
    if segment[0] == "item":
        return words.split()[1] if segment[2] == 1 else words
    if segment[0] == "background" and rng.random() < 0.6:
        words = words.removesuffix(" background")
    return f"1 {words}" if rng.random() < 0.5 else words


def text_batch(tokenizer: PreTrainedTokenizerFast, n: int, seed: int) -> tuple[Tensor, Tensor, Tensor]:
    """Token ids (N, L), attention mask (N, L) and target vectors (N, L, 25)."""
    captions, texts = sample_segments(n, seed)
    tokens: Any = tokenizer([", ".join(words) for words in texts], padding=True, return_tensors="pt")
    ids = tokens.input_ids.numpy()
    ends = (ids == tokenizer.convert_tokens_to_ids(",")) | (ids == tokenizer.eos_token_id)
    target = np.zeros((*ids.shape, TARGET_CHANNELS), dtype=np.float32)
    target[ends] = np.stack([target_of(s) for segments in captions for s in segments or [("other", 0, 0)]])
    return tokens.input_ids, tokens.attention_mask, torch.from_numpy(target)


def train_text_encoder(out: Path, seconds: float, batch: int = 128, rate: float = 2e-3, seed: int = 0) -> CLIPTextModel:
    """Train on captions alone for `seconds`; saves `out`/tokenizer and `out`/text_encoder."""
    torch.manual_seed(seed)
    tokenizer = new_tokenizer(WORDS, MAX_TOKENS)
    encoder = new_text_encoder(tokenizer, layers=3)

    def loss(step: int) -> Tensor:
        return text_loss(encoder, *text_batch(tokenizer, batch, GENERATOR_SEEDS + step), flag=_NAMED)

    fit_text_encoder(encoder, loss, seconds, rate)
    encoder.save_pretrained(out / "text_encoder")
    tokenizer.save_pretrained(out / "tokenizer")
    return encoder
