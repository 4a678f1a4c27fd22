"""Captions of more tokens than a text encoder takes, read in windows whose embeddings are joined.

A caption is split between words into windows that each fit the encoder, and every caption of a run gets the same number
of windows, so an image never depends on its batch. Short captions fill up with windows of an empty text. A pipeline was
trained on one window: what lies in the others reaches the denoiser, but it never learnt to read across them.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from genlens.errors import CaptionError

if TYPE_CHECKING:
    import torch

Limits = Sequence[tuple[Any, int]]
"""Tokenizers, each with the number of tokens, special ones included, that its text encoder takes."""


def token_counts(limits: Limits, captions: Sequence[str]) -> list[int]:
    """Tokens of captions by the tokenizer that comes closest to its limit, on the scale of the smallest limit."""
    if not limits:
        return [0] * len(captions)
    smallest = min(limit for _, limit in limits)
    lengths = [
        [len(ids) + smallest - limit for ids in tokenizer(list(captions), truncation=False, verbose=False)["input_ids"]]
        for tokenizer, limit in limits
    ]
    return [max(column) for column in zip(*lengths, strict=True)]


def split_windows(limits: Limits, caption: str) -> list[str]:
    """Parts of a caption that each fit every text encoder, split between words; one part where it fits whole.

    Raises:
        CaptionError: a single word doesn't fit.
    """
    smallest = min((limit for _, limit in limits), default=0)
    if not limits or token_counts(limits, [caption])[0] <= smallest:
        return [caption]
    words, windows, start = caption.split(), [], 0
    while start < len(words):
        end = _fits(limits, words, start, smallest)
        windows.append(" ".join(words[start:end]))
        start = end
    return windows


def _fits(limits: Limits, words: list[str], start: int, smallest: int) -> int:
    """The end of the longest run of words from `start` that fits; found by halving."""
    low, high = start, min(len(words), start + smallest)
    while low < high:
        middle = (low + high + 1) // 2
        if token_counts(limits, [" ".join(words[start:middle])])[0] <= smallest:
            low = middle
        else:
            high = middle - 1
    if low == start:
        word = words[start][:40]
        raise CaptionError(f"The word {word!r} alone is longer than the text encoder's limit of {smallest} tokens.")
    return low


def check_windows(limits: Limits, captions: Sequence[str], windows: int) -> None:
    """Refuse captions that don't fit in that many windows.

    Raises:
        CaptionError: says how many are too long and how many windows the longest takes.
    """
    needed = [len(split_windows(limits, caption)) for caption in captions]
    too_long = sum(n > windows for n in needed)
    if too_long:
        limit = min(limit for _, limit in limits)
        raise CaptionError(
            f"{too_long} of {len(captions)} captions don't fit in {windows} windows of {limit} tokens; the longest "
            f"takes {max(needed)}. Allow {max(needed)} windows, or select sentences."
        )


def joined(found: dict[str, torch.Tensor], windows: int, filled: Sequence[int]) -> dict[str, torch.Tensor]:
    """Embeddings of windows -> of captions.

    Args:
        found: tensors (B * W, …) as `encode_prompt` returns them, W windows a caption; sequences (B * W, L, …) and
            masks (B * W, L) are joined to (B, W * L, …), pooled vectors are those of the first window.
        windows: W.
        filled: windows of each caption that hold text; masks are 0 in the others.
    """
    import torch

    result: dict[str, torch.Tensor] = {}
    for name, value in found.items():
        parts = value.unflatten(0, (-1, windows))  # (B, W, …)
        if name.startswith(("pooled_", "negative_pooled_")):
            result[name] = parts[:, 0]
            continue
        if name.endswith("attention_mask"):
            inside = torch.arange(windows) < torch.tensor(list(filled))[:, None]  # (B, W)
            parts = parts * inside[:, :, None].to(parts)
        result[name] = parts.flatten(1, 2)
    return result
