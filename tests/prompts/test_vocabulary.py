"""Vocabularies: where words come from, what is refused, and the captions made of them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from genlens.errors import UserError
from genlens.prompts.vocabulary import MAX_WORD, Vocabulary, read_words, tokenizer_words


class Words:
    """A tokenizer with nothing but a vocabulary."""

    all_special_tokens = ("<end>", "[PAD]")

    def __init__(self, *tokens: str) -> None:
        self._tokens = tokens

    def get_vocab(self) -> dict[str, int]:
        return {token: number for number, token in reversed(list(enumerate(self._tokens)))}


def test_captions_have_the_words_in_their_order() -> None:
    words = Vocabulary(("red", "circle"), "a picture of a {} here")
    assert words.caption((1, 0, 1)) == "a picture of a circle red circle here"
    assert words.caption() == "a picture of a here"
    assert Vocabulary(("red",), "{}").caption() == ""


def test_phrases_are_separated_by_commas_unless_told_otherwise() -> None:
    assert Vocabulary(("red circle", "blue"), "{}").caption((0, 1)) == "red circle, blue"
    assert Vocabulary(("red circle", "blue"), "{}", separator=" and ").caption((0, 1)) == "red circle and blue"
    assert Vocabulary(("red", "blue"), "{}").caption((0, 1)) == "red blue"


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (((),), "empty"),
        ((("red",), "no place"), "one {}"),
        ((("red",), "{} {}"), "one {}"),
        ((("red", "red"),), "twice"),
        ((("red  circle",),), "single spaces"),
        ((("",),), "must not be empty"),
        ((("x" * (MAX_WORD + 1),),), "at most"),
        ((("red\x1b[31m",),), "printable"),
    ],
)
def test_what_is_no_vocabulary_is_refused(arguments: tuple[Any, ...], says: str) -> None:
    with pytest.raises(UserError, match=says):
        Vocabulary(*arguments)


def test_words_come_from_lists_texts_and_files(tmp_path: Path) -> None:
    path = tmp_path / "words.txt"
    path.write_text("# shapes\nred circle\n\n  blue   circle \nred circle\n", encoding="utf-8")
    assert read_words(path) == read_words(str(path)) == ("red circle", "blue circle")
    assert read_words("red circle, blue,") == ("red circle", "blue")
    assert read_words(["red", "red", "blue"]) == ("red", "blue")
    assert read_words("red") == ("red",)


@pytest.mark.parametrize(
    ("name", "content", "says"),
    [("none.txt", None, "can't be read"), ("empty.txt", b"\n# only this\n", "no words"),
     ("b.txt", b"\xff\xfe\xff", "UTF-8")],
)  # fmt: skip
def test_files_without_words_are_refused(tmp_path: Path, name: str, content: bytes | None, says: str) -> None:
    path = tmp_path / name
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(UserError, match=says):
        read_words(path)
    with pytest.raises(UserError, match=says):
        read_words(str(path))


@pytest.mark.parametrize("source", ["", " , ", []])
def test_no_words_at_all_are_refused(source: Any) -> None:
    with pytest.raises(UserError, match="no words"):
        read_words(source)


@pytest.mark.parametrize(
    "tokens",
    [
        ("<end>", "red</w>", "re", "circle</w>", "x</w>", "42</w>", "!</w>"),  # CLIP: whole words end in a mark
        ("<end>", "▁red", "ing", "▁circle", "▁", "▁42"),  # SentencePiece: they begin with one
        ("<end>", "Ġred", "ing", "Ġcircle", "Ġ42"),  # byte-level
        ("[PAD]", "red", "##ing", "circle", ",", "42"),  # whole words, their rest marked
    ],
)
def test_whole_words_of_every_kind_of_tokenizer(tokens: tuple[str, ...]) -> None:
    assert tokenizer_words(Words(*tokens)) == ("red", "circle")


def test_a_tokenizer_without_words_is_refused() -> None:
    with pytest.raises(UserError, match="no whole words"):
        tokenizer_words(Words("1", "2"))
