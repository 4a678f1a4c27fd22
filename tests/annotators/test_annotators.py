"""Annotators on tiny models: from a folder to scores, the same in any batch, refusals in one line."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from genlens.annotators.classifier import ClassifierAnnotator, SegmenterAnnotator
from genlens.annotators.detection import FLOOR, MOST, distinct, overlap
from genlens.annotators.load import load_annotator
from genlens.classifiers import as_classifier
from genlens.errors import UserError
from genlens.segmenters import CallableSegmenter

CONCEPTS = ("red circle", "remote control", "cat")


@pytest.fixture(scope="module")
def pictures() -> list[np.ndarray]:
    """Four pictures of two sizes."""
    rng = np.random.default_rng(0)
    return [rng.integers(0, 256, (size, 40, 3), dtype=np.uint8) for size in (40, 40, 56, 40)]


@pytest.mark.parametrize("kind", ["clip", "owlv2", "grounding-dino"])
def test_from_a_folder_to_scores(kind: str, model_folder: Any, pictures: list[np.ndarray]) -> None:
    annotator = load_annotator(f"{kind}:{model_folder(kind)}", device="cpu")
    annotator.check(CONCEPTS)
    found = annotator.find(pictures, CONCEPTS)
    assert len(found) == 4 and all(len(row) == 3 for row in found)
    assert annotator.counts is (kind != "clip")
    for row in found:
        for scores in row:
            assert scores.dtype == np.float32 and (np.diff(scores) <= 0).all()
            assert len(scores) == 1 if kind == "clip" else (scores >= FLOOR).all()
    assert len({float(row[0].max(initial=0)) for row in found}) > 1  # it looks at the picture
    swapped = annotator.find(pictures[:2], CONCEPTS[::-1]) if kind != "grounding-dino" else found  # words see words
    for j in range(3):
        np.testing.assert_allclose(swapped[0][2 - j if kind != "grounding-dino" else j], found[0][j], atol=1e-5)
    again = load_annotator(f"{kind}:{model_folder(kind)}", device="cpu")
    assert again.fingerprint == annotator.fingerprint


@pytest.mark.parametrize("kind", ["clip", "owlv2"])
def test_an_image_does_not_depend_on_its_batch(kind: str, model_folder: Any, pictures: list[np.ndarray]) -> None:
    annotator = load_annotator(f"{kind}:{model_folder(kind)}", device="cpu")
    together = annotator.find(pictures, CONCEPTS)
    alone = [annotator.find([picture], CONCEPTS)[0] for picture in pictures]
    for one, other in zip(together, alone, strict=True):
        for scores, wanted in zip(one, other, strict=True):
            np.testing.assert_allclose(scores, wanted, atol=1e-4)


def test_clip_is_the_difference_of_two_prompts(model_folder: Any, pictures: list[np.ndarray]) -> None:
    import torch
    from transformers import AutoProcessor, CLIPModel

    folder = model_folder("clip")
    annotator = load_annotator(f"clip:{folder}", template="a {}", device="cpu")
    model, processor = CLIPModel.from_pretrained(folder), AutoProcessor.from_pretrained(folder)
    from PIL import Image

    given = processor(
        text=["a cat", "a photo"], images=[Image.fromarray(pictures[0])], return_tensors="pt", padding=True
    )
    with torch.no_grad():
        logits = model(**{k: v for k, v in given.items() if k != "token_type_ids"}).logits_per_image[0]
    found = float(annotator.find(pictures[:1], ["cat"])[0][0][0])
    assert found == pytest.approx(float(logits[0] - logits[1]), abs=1e-4)
    assert annotator.fingerprint != load_annotator(f"clip:{folder}", device="cpu").fingerprint


def test_dinos_words_belong_to_their_concepts(model_folder: Any) -> None:
    annotator: Any = load_annotator(f"grounding-dino:{model_folder('grounding-dino')}", device="cpu")
    assert annotator._spans(CONCEPTS) == [slice(1, 3), slice(4, 6), slice(7, 8)]
    with pytest.raises(UserError, match="separates concepts by full stops"):
        annotator.check(["red. circle"])
    with pytest.raises(UserError, match="All concepts together have 22 tokens; Grounding DINO takes 16"):
        annotator.check(["cat"] * 10)


def test_overlap_and_suppression_by_hand() -> None:
    box = np.array([0.0, 0.0, 2.0, 2.0])
    others = np.array([[0, 0, 2, 2], [1, 0, 3, 2], [5, 5, 6, 6]], dtype=float)
    np.testing.assert_allclose(overlap(box, others), [1, 1 / 3, 0])
    boxes = np.array([[1, 1, 2, 2], [1.1, 1, 2, 2], [5, 5, 1, 1], [9, 9, 1, 1]], dtype=float)
    scores = np.array([0.6, 0.9, 0.3, FLOOR / 2])
    assert distinct(scores, boxes).tolist() == pytest.approx([0.9, 0.3])  # the first is the second's box
    assert distinct(np.zeros(3), boxes[:3]).tolist() == []
    many = np.stack([np.arange(200.0) * 5, np.zeros(200), np.ones(200), np.ones(200)], axis=1)
    assert len(distinct(np.full(200, 0.5), many)) == MOST


def mean_mask(images: Any, text: str) -> np.ndarray:
    return np.asarray(images, dtype=float).mean(axis=3) / 255


def test_a_segmenter_scores_by_the_share_it_marks(pictures: list[np.ndarray]) -> None:
    annotator = SegmenterAnnotator(CallableSegmenter(mean_mask))
    annotator.check(CONCEPTS)
    found = annotator.find(pictures, CONCEPTS)  # of two sizes
    assert all(len(row) == 3 and 0.5 < float(row[0][0]) <= 1 for row in found)
    np.testing.assert_array_equal(found[2][0], annotator.find(pictures[2:3], CONCEPTS)[0][0])


def two(images: Any) -> np.ndarray:
    return np.stack([np.asarray(image, dtype=float).mean() - 127 * np.ones(2) for image in images])


def test_a_classifier_that_names_its_outputs(pictures: list[np.ndarray]) -> None:
    from genlens.classifiers.bundled import load_shapes_concepts

    annotator = ClassifierAnnotator(load_shapes_concepts(device="cpu"))
    found = annotator.find(pictures[:2], ("blue circle", "red circle"))
    assert [scores.shape for scores in found[0]] == [(1,), (1,)]
    with pytest.raises(UserError, match=r"The annotator doesn't know 'cat'\. It knows: red circle"):
        annotator.check(["cat"])
    plain = ClassifierAnnotator(as_classifier(two))
    assert len(plain.find(pictures, ("cat", "dog"))[0]) == 2
    with pytest.raises(UserError, match="one output for each of the 3 concepts; got 2"):
        plain.find(pictures, CONCEPTS)


def test_clipseg_through_the_segmenters(tmp_path: Path) -> None:
    code = "import numpy as np\ndef marks(images, text):\n    return np.zeros(images.shape[:3])\n"
    (tmp_path / "mine.py").write_text(code)
    annotator = load_annotator(f"clipseg:{tmp_path / 'mine.py'}:marks")
    assert float(annotator.find([np.zeros((8, 8, 3), np.uint8)], ["cat"])[0][0][0]) == 0.0


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ("clip:", "`annotator` must be 'clip:ID', 'owlv2:ID'"),
        ("nonsense", "`annotator` must be 'clip:ID', 'owlv2:ID'"),
        ("clip:/nowhere/at/all", "can't be loaded as clip"),
        ("bundled:nothing", "There is no bundled classifier 'nothing'"),
    ],
)
def test_texts_that_name_nothing(spec: str, message: str) -> None:
    with pytest.raises(UserError, match=message):
        load_annotator(spec)


def test_models_of_another_kind_and_prompts_that_do_not_fit(model_folder: Any) -> None:
    with pytest.raises(UserError, match="is a clip model; this annotator takes owlv2"):
        load_annotator(f"owlv2:{model_folder('clip')}")
    with pytest.raises(UserError, match="`template` needs an annotator with prompts"):
        load_annotator("bundled:shapes-concepts", template="a {}")
    with pytest.raises(UserError, match=r"`template` must have one \{\} for the concept; got 'cat'"):
        load_annotator(f"clip:{model_folder('clip')}", template="cat")
    annotator = load_annotator(f"clip:{model_folder('clip')}", device="cpu")
    with pytest.raises(UserError, match="has 21 tokens; the annotator takes 16"):
        annotator.check(["cat " * 15])
