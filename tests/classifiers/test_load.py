"""From a text, a file or an object to a classifier."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from genlens.classifiers import CallableClassifier, Classifier, TimmClassifier, TorchClassifier
from genlens.classifiers.load import as_classifier, load_classifier
from genlens.errors import UserError

IMAGES = np.random.default_rng(0).integers(0, 256, (4, 6, 6, 3), dtype=np.uint8)

SOURCE = """
from pathlib import Path
import numpy as np
import torch
from helper import SCALE
from genlens.classifiers import CallableClassifier

class Net(torch.nn.Module):
    def forward(self, images):
        return images.mean((2, 3)) * SCALE

def module(): return Net()
def scores(images): return images.mean((1, 2, 3))
def closure():
    net = torch.nn.Linear(3, 1)
    torch.nn.init.constant_(net.weight, float(Path(__file__).with_name("weight.txt").read_text()))
    torch.nn.init.zeros_(net.bias)
    return lambda images: net(torch.tensor(images.mean((1, 2)), dtype=torch.float32))
def ready(): return CallableClassifier(scores, fingerprint="mine")
def number(): return 3
def broken(): raise ValueError("no weights\\nhere")
def two(images, labels): return images
def _hidden(): return Net()
net = Net()
"""


@pytest.fixture
def file(tmp_path: Path) -> Path:
    (tmp_path / "helper.py").write_text("SCALE = 2.0\n")
    (tmp_path / "weight.txt").write_text("2")
    path = tmp_path / "mine.py"
    path.write_text(SOURCE)
    return path


@pytest.mark.parametrize("name", ["module", "net", "Net"])
def test_a_module_made_or_named_in_the_file(file: Path, name: str) -> None:
    classifier = load_classifier(f"{file}:{name}")
    assert isinstance(classifier, TorchClassifier)
    assert classifier.outputs == "logits"
    assert np.allclose(classifier.predict(IMAGES), (IMAGES / 255).mean((1, 2)) * 2, atol=1e-5)


def test_a_function_of_images_is_the_classifier_itself(file: Path) -> None:
    classifier = load_classifier(f"{file}:scores", outputs="probabilities", batch_size=3)
    assert classifier.outputs == "probabilities"
    assert np.allclose(classifier.predict(IMAGES)[:, 0], IMAGES.mean((1, 2, 3)))


def test_a_function_that_returns_a_callable(file: Path) -> None:
    classifier = load_classifier(f"{file}:closure")
    assert classifier.outputs == "scores"
    assert np.allclose(classifier.predict(IMAGES)[:, 0], 2 * IMAGES.mean((1, 2)).sum(1), rtol=1e-5)


def test_a_ready_classifier_is_returned_as_it_is(file: Path) -> None:
    mine = CallableClassifier(lambda images: images, fingerprint="mine")
    assert load_classifier(f"{file}:ready").fingerprint == mine.fingerprint


def test_the_fingerprint_follows_the_source_the_name_and_the_weights_a_closure_holds(file: Path) -> None:
    scores, closure = (load_classifier(f"{file}:{name}").fingerprint for name in ("scores", "closure"))
    assert scores != closure
    assert load_classifier(f"{file}:scores").fingerprint == scores
    assert load_classifier(f"{file}:closure").fingerprint == closure
    file.with_name("weight.txt").write_text("3")
    assert load_classifier(f"{file}:scores").fingerprint == scores
    assert load_classifier(f"{file}:closure").fingerprint != closure
    file.write_text(SOURCE.replace("(1, 2, 3)", "(1, 2, 3)) + (0"))
    assert load_classifier(f"{file}:scores").fingerprint != scores


@pytest.mark.parametrize(
    ("name", "message"),
    [
        (
            "nothing",
            r"py has no function 'nothing'. It has: Net, broken, closure, module, net, number, ready, scores, two\.",
        ),
        ("number", r"mine.py:number must return a Classifier, a torch.nn.Module or a callable; got int\."),
        ("broken", r"mine.py:broken raised ValueError: no weights\.$"),
        ("two", "mine.py:two takes images, labels; it must take nothing and return the classifier, or take a batch"),
    ],
)
def test_what_is_wrong_in_the_file_is_said_in_one_line(file: Path, name: str, message: str) -> None:
    with pytest.raises(UserError, match=message):
        load_classifier(f"{file}:{name}")


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("import no_such_package", "can't be imported: ModuleNotFoundError: No module named 'no_such_package'"),
        ("def f(:", "can't be imported: SyntaxError: "),
        ("raise SystemExit(3)", "can't be imported: SystemExit: 3"),
    ],
)
def test_a_file_that_cannot_be_imported(tmp_path: Path, source: str, message: str) -> None:
    (tmp_path / "mine.py").write_text(source)
    with pytest.raises(UserError, match=message):
        load_classifier(f"{tmp_path / 'mine.py'}:f")


def test_a_missing_file(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"There is no file '.*none.py' to take the classifier 'f' from"):
        load_classifier(f"{tmp_path / 'none.py'}:f")


@pytest.mark.parametrize("spec", ["model.pt", "mine.py", "mine.py:", "hf:", "", "model.h5:f"])
def test_an_unknown_form_lists_the_known_ones(spec: str) -> None:
    with pytest.raises(UserError, match=r"`classifier` must be 'file.py:function', 'model.onnx', 'hf:ID' .*; got '"):
        load_classifier(spec)


def test_an_unknown_bundled_name_lists_the_known_ones() -> None:
    with pytest.raises(UserError, match=r"no bundled classifier 'dogs'. There are: shapes-target, shapes-concepts, "):
        load_classifier("bundled:dogs")


def test_the_users_folder_does_not_stay_on_the_path(file: Path) -> None:
    load_classifier(f"{file}:scores")
    assert str(file.parent) not in sys.path


class Own:
    fingerprint = "own"
    outputs = "scores"

    def predict(self, images: Any) -> Any:
        return np.zeros((len(images), 1), np.float32)


def test_objects_are_coerced_by_what_they_are() -> None:
    own = Own()
    assert as_classifier(own) is own
    assert isinstance(own, Classifier)
    assert isinstance(as_classifier(nn.Flatten()), TorchClassifier)
    assert isinstance(as_classifier(lambda images: images), CallableClassifier)
    model = nn.Flatten()
    model.pretrained_cfg = {"input_size": (3, 4, 4)}  # type: ignore[assignment]
    assert isinstance(as_classifier(model), TimmClassifier)
    assert as_classifier(nn.Flatten(), outputs="probabilities", batch_size=2).outputs == "probabilities"


@pytest.mark.parametrize("model", [3, "net", Own, nn.Flatten, torch.zeros(3), None])
def test_anything_else_is_refused(model: Any) -> None:
    with pytest.raises(
        UserError, match=r"A classifier must be a torch.nn.Module, a callable or have `predict`, .*; got "
    ):
        as_classifier(model)
