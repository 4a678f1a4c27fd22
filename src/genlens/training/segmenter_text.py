"""Words of the shipped segmenter: its tokenizer, and the phrases in which a thing may be asked for."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerFast

MAX_TOKENS = 16
SHAPES_WORDS = ("red", "green", "blue", "circle", "rectangle")
SCENES_WORDS = (
    "tshirt", "trouser", "pullover", "dress", "coat", "sandal", "shirt", "sneaker", "bag", "boot",
    "plain", "gradient", "striped", "checked", "dotted", "yellow", "orange", "purple", "grey", "gray", "white", "black",
    "brown", "pink", "cyan", "beige",
)  # fmt: skip
COMMON_WORDS = ("background", "frame", "border", "object", "item", "texture")
FILLER = ("a", "an", "the", "photo", "picture", "image", "drawing", "of", "with", "on", "in", "and", ",", ".")
TEMPLATES = (
    "{}", "{}", "a {}", "the {}", "a photo of a {}", "a picture of a {}", "an image of a {}", "a drawing of a {}",
)  # fmt: skip
"""Phrases that training draws from; the bare name counts twice."""
_SPECIAL = ("[PAD]", "[UNK]", "[BOS]", "[EOS]")


def new_tokenizer() -> PreTrainedTokenizerFast:
    """A word tokenizer, lower case; "T-shirt" is "tshirt" and "ankle boot" is "boot"; other words are unknown."""
    from tokenizers import Regex, Tokenizer, models, normalizers, pre_tokenizers, processors
    from transformers import PreTrainedTokenizerFast

    words = dict.fromkeys((*_SPECIAL, *SHAPES_WORDS, *SCENES_WORDS, *COMMON_WORDS, *FILLER))
    vocabulary = {word: i for i, word in enumerate(words)}
    tokenizer = Tokenizer(models.WordLevel(vocabulary, unk_token="[UNK]"))
    tokenizer.normalizer = normalizers.Sequence(
        [
            normalizers.Lowercase(),
            normalizers.Replace(Regex(r"t-?\s?shirt(/top)?"), "tshirt"),
            normalizers.Replace("ankle boot", "boot"),
        ]
    )
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.WhitespaceSplit(), pre_tokenizers.Punctuation("isolated")]
    )
    tokenizer.post_processor = processors.TemplateProcessing(
        single="[BOS] $A [EOS]", special_tokens=[("[BOS]", vocabulary["[BOS]"]), ("[EOS]", vocabulary["[EOS]"])]
    )
    names = dict(zip(("pad_token", "unk_token", "bos_token", "eos_token"), _SPECIAL, strict=True))
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer, model_max_length=MAX_TOKENS, **names)


def phrase(name: str, rng: np.random.Generator) -> str:
    """A name in one of `TEMPLATES`, drawn at random."""
    return TEMPLATES[int(rng.integers(len(TEMPLATES)))].format(name)
