"""Stage 2 of the shapes generator: a CLIP text encoder that binds words before the denoiser ever sees them.

It is trained on text alone. At the token that ends a segment (its comma, or the end of the text) the last hidden state
must equal a hand-made vector: which concept, and sine-cosine features of the centre and the four edges of its slot.
At all other tokens it must be zero in these channels. So the denoiser sees one bound vector a segment.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from genlens.datasets import shapes
from genlens.training.shapes_data import GENERATOR_SEEDS, sample_rows
from genlens.training.timed import TimedTraining

if TYPE_CHECKING:
    from tokenizers import Tokenizer
    from transformers import CLIPTextModel, PreTrainedTokenizerFast

MAX_TOKENS = 48
FREQUENCIES = (1, 2, 3, 4, 6, 8, 10, 12)
TARGET_CHANNELS = 6 + 2 + 2 + 6 * 2 * len(FREQUENCIES)
HIDDEN = 128
_NAMED = 6
SPECIAL = ("[PAD]", "[UNK]", "[BOS]", "[EOS]")
_WORDS = ("red", "green", "blue", "circle", "rectangle", ",")
_OTHER = ("person", "couch", "2 tv", "1 cup", "Age: 1", "Findings:", "a photo of 3 dogs")

Segment = tuple[int, "tuple[int, ...] | None"]
"""Concept index (-1: text that names no shape) and slot (None: no position given)."""


def new_tokenizer(words: Sequence[str] = _WORDS, length: int = MAX_TOKENS) -> PreTrainedTokenizerFast:
    """A word tokenizer: `words` (the comma that ends a segment among them) and 0-64; "(12, 40)" becomes "12 40"."""
    from tokenizers import Regex, Tokenizer, models, normalizers, pre_tokenizers

    vocabulary = {w: i for i, w in enumerate((*SPECIAL, *words, *(str(i) for i in range(65))))}
    tokenizer = Tokenizer(models.WordLevel(vocabulary, unk_token="[UNK]"))
    inner_comma, parentheses = Regex(r",(?=\s*\d+\s*\))"), Regex(r"[()]")
    tokenizer.normalizer = normalizers.Sequence(
        [normalizers.Lowercase(), normalizers.Replace(inner_comma, " "), normalizers.Replace(parentheses, " ")]
    )
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.WhitespaceSplit(), pre_tokenizers.Punctuation("isolated")]
    )
    return finished_tokenizer(tokenizer, vocabulary, length)


def finished_tokenizer(tokenizer: Tokenizer, vocabulary: dict[str, int], length: int) -> PreTrainedTokenizerFast:
    """A word tokenizer that puts start and end around a text of at most `length` tokens, as transformers has it."""
    from tokenizers import processors
    from transformers import PreTrainedTokenizerFast

    tokenizer.post_processor = processors.TemplateProcessing(
        single="[BOS] $A [EOS]", special_tokens=[("[BOS]", vocabulary["[BOS]"]), ("[EOS]", vocabulary["[EOS]"])]
    )
    names = dict(zip(("pad_token", "unk_token", "bos_token", "eos_token"), SPECIAL, strict=True))
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer, model_max_length=length, **names)


def new_text_encoder(tokenizer: PreTrainedTokenizerFast, layers: int = 4) -> CLIPTextModel:
    """An untrained CLIP text encoder for this tokenizer."""
    from transformers import CLIPTextConfig, CLIPTextModel

    config = CLIPTextConfig(
        vocab_size=len(tokenizer),
        hidden_size=HIDDEN,
        intermediate_size=3 * HIDDEN,
        num_hidden_layers=layers,
        num_attention_heads=4,
        projection_dim=HIDDEN,
        max_position_embeddings=tokenizer.model_max_length,
        pad_token_id=tokenizer.pad_token_id,
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id,
    )
    encoder = CLIPTextModel(config)
    encoder.set_attn_implementation("eager")  # twice as fast as the fused kernel's backward pass on CPUs
    return encoder


def target_features(concept: NDArray[np.int64], slots: NDArray[Any], placed: NDArray[np.bool_]) -> NDArray[np.float32]:
    """Hand-made vectors of segments.

    Args:
        concept: (M,) concept indices; -1 gives the null vector.
        slots: (M, 4) in pixels; ignored where not `placed`.
        placed: (M,) whether the segment gives its position.

    Returns:
        float32 (M, TARGET_CHANNELS): concept (6), names a shape, gives a position, half width and height
        (standardised), then sine and cosine of centre x, y and of left, right, top, bottom edges.
    """
    circle = ((concept >= 0) & (concept < 3))[:, None]
    half = np.where(circle, slots[:, 2:3], slots[:, 2:] / 2)
    centre = slots[:, :2]
    places = np.concatenate([centre, centre - half, centre + half], axis=1)
    angles = (2 * np.pi / (2 * shapes.IMAGE_SIZE)) * places[:, :, None] * np.array(FREQUENCIES)
    waves = np.concatenate([np.sin(angles), np.cos(angles)], axis=2).reshape(len(concept), -1)
    geometry = np.concatenate([np.ones((len(concept), 1)), (half - 7) / 2, waves], axis=1) * placed[:, None]
    names = concept[:, None] == np.arange(6)
    features = np.concatenate([names, np.ones((len(concept), 1)), geometry], axis=1) * (concept >= 0)[:, None]
    return features.astype(np.float32)


def sample_segments(n: int, seed: int) -> list[list[Segment]]:
    """Captions as segments: placed, names only, mixed; some in another order, some with text that names no shape."""
    rng = np.random.default_rng(seed)
    rows = sample_rows(n, seed, donors=0.3)
    placed = rng.choice([1.0, 0.0, 0.5], size=n, p=[0.65, 0.25, 0.1])
    captions: list[list[Segment]] = []
    for presence, slots, share in zip(rows.presence, rows.slots, placed, strict=True):
        segments: list[Segment] = [
            (int(j), tuple(slots[j].tolist()) if rng.random() < share else None) for j in np.flatnonzero(presence)
        ]
        if rng.random() < 0.2:
            rng.shuffle(segments)
        if rng.random() < 0.08:
            segments = [(-1, None) if rng.random() < 0.5 else s for s in segments[:5]]
        captions.append(segments)
    return captions


def caption_of(segments: list[Segment], rng: np.random.Generator) -> str:
    """Text of segments; one that names no shape becomes other words."""
    words = [
        rng.choice(_OTHER) if j < 0 else shapes.CONCEPTS[j] if slot is None else shapes.segment(j, slot)
        for j, slot in segments
    ]
    return ", ".join(words)


def text_batch(tokenizer: PreTrainedTokenizerFast, n: int, seed: int) -> tuple[Tensor, Tensor, Tensor]:
    """Token ids (N, L), attention mask (N, L) and target vectors (N, L, TARGET_CHANNELS)."""
    captions = sample_segments(n, seed)
    rng = np.random.default_rng(seed)
    tokens: Any = tokenizer([caption_of(segments, rng) for segments in captions], padding=True, return_tensors="pt")
    ids = tokens.input_ids.numpy()
    ends = (ids == tokenizer.convert_tokens_to_ids(",")) | (ids == tokenizer.eos_token_id)
    target = np.zeros((*ids.shape, TARGET_CHANNELS), dtype=np.float32)
    flat = [segment for segments in captions for segment in segments or [(-1, None)]]
    concept = np.array([j for j, _ in flat])
    slots = np.array([slot or (0, 0, 0, 0) for _, slot in flat], dtype=np.float32)
    placed = np.array([slot is not None for _, slot in flat])
    target[ends] = target_features(concept, slots, placed)
    return tokens.input_ids, tokens.attention_mask, torch.from_numpy(target)


def text_loss(encoder: CLIPTextModel, ids: Tensor, mask: Tensor, target: Tensor, flag: int = _NAMED) -> Tensor:
    """Mean squared error over unmasked tokens, segment ends weighing as much as all other tokens together.

    Args:
        encoder: the text encoder.
        ids, mask, target: see `text_batch`.
        flag: channel of the target that is 1 where a segment that names something ends.
    """
    hidden = encoder(ids, attention_mask=mask)[0][..., : target.shape[-1]].float()
    error = (hidden - target).square().mean(dim=-1)
    named = target[..., flag] > 0
    rest = (mask > 0) & ~named
    loss: Tensor = error[named].mean() + error[rest].mean()
    return loss


def train_text_encoder(
    out: Path, seconds: float, batch: int = 128, rate: float = 2e-3, seed: int = 0
) -> tuple[PreTrainedTokenizerFast, CLIPTextModel]:
    """Train on captions alone for `seconds`; saves `out`/tokenizer and `out`/text_encoder."""
    torch.manual_seed(seed)
    tokenizer = new_tokenizer()
    encoder = new_text_encoder(tokenizer)

    def loss(step: int) -> Tensor:
        return text_loss(encoder, *text_batch(tokenizer, batch, GENERATOR_SEEDS + step))

    fit_text_encoder(encoder, loss, seconds, rate)
    encoder.save_pretrained(out / "text_encoder")
    tokenizer.save_pretrained(out / "tokenizer")
    return tokenizer, encoder


def fit_text_encoder(
    encoder: CLIPTextModel, loss_of: Callable[[int], Tensor], seconds: float, rate: float, every: int = 50
) -> None:
    """Minimise `loss_of(step)` for `seconds`; prints a line in `every` steps."""
    training = TimedTraining("text", encoder, seconds, rate, betas=(0.9, 0.98), every=every)
    for step in training.steps():
        with torch.autocast("cpu", torch.bfloat16):
            loss = loss_of(step)
        training.update(loss)
