"""Image classifiers of the transformers library: tiny ones, built here, without torchvision."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from transformers import ResNetConfig, ResNetForImageClassification, ViTConfig, ViTForImageClassification
from transformers.models.convnext.image_processing_pil_convnext import ConvNextImageProcessorPil
from transformers.models.vit.image_processing_pil_vit import ViTImageProcessorPil

from genlens.classifiers import TransformersClassifier, load_classifier
from genlens.errors import UserError

RNG = np.random.default_rng(0)
IMAGES = [RNG.integers(0, 256, (size, 20, 3), dtype=np.uint8) for size in (20, 20, 13)]


def save_vit(folder: Path, **options: object) -> ViTForImageClassification:
    torch.manual_seed(0)
    config = ViTConfig(
        hidden_size=8, num_hidden_layers=1, num_attention_heads=2, intermediate_size=8, image_size=16, patch_size=8,
        num_labels=3, **options,
    )  # fmt: skip
    model = ViTForImageClassification(config).eval()
    model.save_pretrained(folder)
    ViTImageProcessorPil(size={"height": 16, "width": 16}, image_mean=[0.4] * 3).save_pretrained(folder)
    return model


@pytest.fixture(scope="module")
def vit(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, ViTForImageClassification]:
    folder = tmp_path_factory.mktemp("vit")
    return folder, save_vit(folder)


def test_a_saved_model_gives_its_own_logits(vit: tuple[Path, ViTForImageClassification]) -> None:
    folder, model = vit
    classifier = TransformersClassifier.from_pretrained(folder)
    processor = ViTImageProcessorPil.from_pretrained(folder)
    with torch.no_grad():
        expected = model(**processor(IMAGES, return_tensors="pt")).logits.numpy()
    assert classifier.outputs == "logits"
    assert classifier.class_names == ("LABEL_0", "LABEL_1", "LABEL_2")
    assert np.allclose(classifier.predict(IMAGES), expected, atol=1e-5)
    assert np.allclose(classifier.predict(IMAGES[2:]), expected[2:], atol=1e-5)


def test_the_command_line_form_is_the_same_classifier(vit: tuple[Path, ViTForImageClassification]) -> None:
    folder, _ = vit
    loaded = load_classifier(f"hf:{folder}", batch_size=2)
    assert loaded.fingerprint == TransformersClassifier.from_pretrained(folder).fingerprint
    assert loaded.predict(IMAGES).shape == (3, 3)


def test_the_fingerprint_follows_the_processor(vit: tuple[Path, ViTForImageClassification], tmp_path: Path) -> None:
    folder, model = vit
    model.save_pretrained(tmp_path)
    ViTImageProcessorPil(size={"height": 16, "width": 16}, image_mean=[0.6] * 3).save_pretrained(tmp_path)
    loaded = [TransformersClassifier.from_pretrained(path).fingerprint for path in (folder, folder, tmp_path)]
    assert loaded[0] == loaded[1] != loaded[2]


def test_multi_label_outputs_are_scores_each_of_its_own(tmp_path: Path) -> None:
    save_vit(tmp_path, problem_type="multi_label_classification")
    assert TransformersClassifier.from_pretrained(tmp_path).outputs == "scores"


def test_a_convolutional_model_works_too(tmp_path: Path) -> None:
    config = ResNetConfig(embedding_size=8, hidden_sizes=[8, 8], depths=[1, 1], layer_type="basic", num_labels=2)
    ResNetForImageClassification(config).save_pretrained(tmp_path)
    ConvNextImageProcessorPil(size={"shortest_edge": 32}, crop_pct=0.875).save_pretrained(tmp_path)
    assert TransformersClassifier.from_pretrained(tmp_path, batch_size=2).predict(IMAGES).shape == (3, 2)


def test_a_folder_that_is_no_model_is_refused_in_one_line(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="can't be loaded as a transformers image classifier") as error:
        TransformersClassifier.from_pretrained(tmp_path)
    assert "\n" not in str(error.value)


def test_weights_in_pickle_form_are_never_read(vit: tuple[Path, ViTForImageClassification], tmp_path: Path) -> None:
    _, model = vit
    save_vit(tmp_path)
    (tmp_path / "model.safetensors").unlink()
    torch.save(model.state_dict(), tmp_path / "pytorch_model.bin")
    with pytest.raises(UserError, match="with safetensors weights"):
        TransformersClassifier.from_pretrained(tmp_path)
