"""Words that a hard prompt is made of: the user's, or those of a pipeline's tokenizer; and how a caption has them."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from genlens.errors import UserError, printable

MAX_WORD = 200
"""Characters of the longest word or phrase."""
_WORD = re.compile(r"[^\W\d_][^\W\d_'’-]+")
_END, _STARTS, _INSIDE = "</w>", ("▁", "Ġ"), "##"
"""How tokenizers mark whole words: at their end (CLIP), at their start (SentencePiece, byte-level), or their rest."""


@dataclass(frozen=True)
class Vocabulary:
    """Words, or phrases of several words, and the caption they go into.

    Attributes:
        words: distinct words or phrases, at least one.
        template: caption with one `{}`, where the words go.
        separator: between two words; None: ", " where some entry is a phrase, else a space.

    Raises:
        UserError: there is no word, a word is empty, too long or comes twice, or the template hasn't one `{}`.
    """

    words: tuple[str, ...]
    template: str = "a picture of a {}"
    separator: str | None = None

    def __post_init__(self) -> None:
        if not self.words:
            raise UserError("The vocabulary is empty: give at least one word, or leave it out to take the tokenizer's.")
        if self.template.count("{}") != 1:
            raise UserError(f"`template` must have one {{}}, where the words go; got {self.template!r}.")
        for word in self.words:
            _check_word(word)
        if len(set(self.words)) < len(self.words):
            twice = next(word for i, word in enumerate(self.words) if word in self.words[:i])
            raise UserError(f"The vocabulary has {twice!r} twice; give each word once.")

    @property
    def joint(self) -> str:
        """What stands between two words of a caption."""
        if self.separator is not None:
            return self.separator
        return ", " if any(" " in word for word in self.words) else " "

    def caption(self, chosen: Sequence[int] = ()) -> str:
        """The caption with the words of these numbers, in this order; without any it is the unoptimised prompt."""
        return self.fill([self.words[number] for number in chosen])

    def text(self, chosen: Sequence[int]) -> str:
        """The words of these numbers as they stand in the caption."""
        return self.joint.join(self.words[number] for number in chosen)

    def fill(self, words: Sequence[str]) -> str:
        """The caption with any words."""
        before, after = self.template.split("{}")
        text = before + self.joint.join(words) + after
        return text if words else " ".join(text.split())


def read_words(source: str | Path | Sequence[str]) -> tuple[str, ...]:
    """Words of a list, of a text ("red circle, blue") or of a file with one word or phrase a line.

    Lines that are empty or begin with # are left out; a word that comes again too.

    Raises:
        UserError: the file isn't there or isn't text, there is no word, or a word is too long.
    """
    if isinstance(source, Path) or (isinstance(source, str) and _names_file(source)):
        found = _lines(Path(source))
    else:
        found = source.split(",") if isinstance(source, str) else [str(word) for word in source]
    words = tuple(dict.fromkeys(" ".join(word.split()) for word in found if word.strip()))
    if not words:
        raise UserError(f"The vocabulary {printable(str(source))!r} has no words; give at least one.")
    for word in words:
        _check_word(word)
    return words


def tokenizer_words(tokenizer: Any) -> tuple[str, ...]:
    """Whole words of a tokenizer's own vocabulary, in its order: at least two letters, no digits, no special tokens.

    Raises:
        UserError: it has none.
    """
    entries = sorted(tokenizer.get_vocab().items(), key=lambda pair: pair[1])
    tokens = [token for token, _ in entries if token not in set(tokenizer.all_special_tokens)]
    if any(token.endswith(_END) for token in tokens):
        whole = [token.removesuffix(_END) for token in tokens if token.endswith(_END)]
    elif any(token.startswith(_STARTS) for token in tokens):
        whole = [token[1:] for token in tokens if token.startswith(_STARTS)]
    else:
        whole = [token for token in tokens if not token.startswith(_INSIDE)]
    words = tuple(dict.fromkeys(word for word in whole if _WORD.fullmatch(word) and len(word) <= MAX_WORD))
    if not words:
        raise UserError("The tokenizer's vocabulary has no whole words; give words of your own.")
    return words


def _names_file(text: str) -> bool:
    return "," not in text and ("/" in text or text.endswith((".txt", ".csv")) or Path(text).is_file())


def _lines(path: Path) -> list[str]:
    try:
        lines = path.read_text(encoding="utf-8-sig").splitlines()
    except OSError as error:
        raise UserError(f"The vocabulary {path} can't be read: {error.strerror}.") from error
    except UnicodeDecodeError as error:
        raise UserError(f"The vocabulary {path} must be text in UTF-8, one word or phrase a line.") from error
    return [line for line in lines if not line.lstrip().startswith("#")]


def _check_word(word: str) -> None:
    if not word.strip() or word != " ".join(word.split()):
        raise UserError(f"A word must not be empty and have single spaces only; got {word!r}.")
    if len(word) > MAX_WORD or printable(word) != word:
        raise UserError(f"A word must be printable and have at most {MAX_WORD} characters; got {word[:60]!r}.")
