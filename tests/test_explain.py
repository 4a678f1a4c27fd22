"""`genlens explain` from end to end on the shipped generator, as small as it gets: results, resuming, bad input."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from typer.testing import CliRunner, Result

from genlens.classifiers import CallableClassifier, TorchClassifier
from genlens.classifiers.bundled import load_shapes_concepts
from genlens.cli import app
from genlens.cli.loading import load_generator
from genlens.datasets.shapes import draw_caption
from genlens.errors import RunFolderError, UserError
from genlens.explain import ExplainOptions, candidates, explain
from genlens.explain_steps import assigned
from genlens.generators.drawer import DrawerGenerator
from genlens.progress import SilentProgress
from genlens.prompts.candidates import read_candidates
from genlens.prompts.explanation import CLASS_NAME, SOFT, UNOPTIMISED, WORDS, Explanation
from genlens.prompts.soft import PromptState
from genlens.reports.explanation import headline, print_explanation, write_explanation

SMALL = ExplainOptions(
    n_tokens=2, restarts=1, iterations=3, batch=2, n_words=1, budget=8, search_seeds=2, n_images=4, top=3
)
TERMS = ("red circle", "blue rectangle", "green circle")
FILES = ("explanation.json", "soft_prompt.safetensors", "candidates.json")


@pytest.fixture(scope="module")
def generator() -> Any:
    return load_generator("shapes", device="cpu")


@pytest.fixture(scope="module")
def classifier() -> Any:
    return load_shapes_concepts(device="cpu")


@pytest.fixture(scope="module")
def finished(generator: Any, classifier: Any, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run that nothing disturbed."""
    folder = tmp_path_factory.mktemp("explained") / "run"
    explain(classifier, generator, "red circle", folder, words=TERMS, options=SMALL)
    return folder


def written(folder: Path) -> dict[str, bytes]:
    paths = [folder / name for name in FILES] + sorted((folder / "images").rglob("*.png"))
    return {str(path.relative_to(folder)): path.read_bytes() for path in paths}


def test_the_four_prompts_are_compared_on_the_same_seeds(finished: Path) -> None:
    found = Explanation.load(finished)
    assert [one.name for one in found.prompts] == [SOFT, WORDS, CLASS_NAME, UNOPTIMISED]
    assert [one.caption for one in found.prompts] == [None, "red circle", "red circle", ""]
    assert found.prompts[1].scores == found.prompts[2].scores  # the same caption on the same seeds
    assert found.prompts[2].activation == 1 and found.prompts[3].activation == 0
    assert found.n_images == 4 and found.class_index == 0 and found.class_name == "red circle"
    for gap in found.differences:
        other = found.prompt(gap.against)
        assert other is not None and gap.mean == pytest.approx(found.prompts[0].mean - other.mean)
        assert gap.low <= gap.mean <= gap.high


def test_the_class_is_put_into_words_and_these_become_candidates(finished: Path) -> None:
    found = Explanation.load(finished)
    assert found.ranking.words[0].word == "red circle" and found.ranking.words[0].stands_out
    assert read_candidates(finished / "candidates.json") == candidates(found)
    assert candidates(found)[0].name == "red circle"
    assert "red circle" in headline(found)


def test_the_optimised_prompt_is_kept_and_renders_the_kept_pictures(finished: Path, generator: Any) -> None:
    from genlens.prompts.optimize import report_seeds
    from genlens.prompts.soft import SoftPrompt
    from genlens.store import decode_image

    found, state = Explanation.load(finished), PromptState.load(finished / "soft_prompt.safetensors")
    assert (state.step, state.restart) == (found.optimisation.best_step, found.optimisation.best_restart)
    images = SoftPrompt(generator, None, 2).images(state, report_seeds(0, 4))
    kept = [decode_image((finished / "images" / "soft-prompt" / f"{i:04d}.png").read_bytes()) for i in range(4)]
    assert np.abs(images.astype(int) - np.stack(kept)).max() <= 1


def test_restarts_begin_with_the_best_words_and_the_report_says_so(finished: Path, tmp_path: Path) -> None:
    found = Explanation.load(finished)
    assert found.settings["start"] == "words" and found.optimisation.starts == ("red circle",)
    shutil.copytree(finished, tmp_path / "run")
    report = write_explanation(found, tmp_path / "run", "")
    assert "began with words of the search: “red circle”" in report.read_text()


def test_words_that_do_not_fit_are_said_and_not_passed_over(generator: Any, classifier: Any, tmp_path: Path) -> None:
    options = replace(SMALL, n_tokens=1)
    found = explain(classifier, generator, "red circle", tmp_path, words=TERMS, options=options)
    assert found.optimisation.starts == ()
    assert "No caption of the search fits into the free tokens" in write_explanation(found, tmp_path, "").read_text()


class Stopped(BaseException):
    """What a kill looks like from inside: nothing catches it."""


class Stopping(SilentProgress):
    """Ends the process, so to speak, at the n-th report of progress."""

    def __init__(self, at: int, error: Callable[[], BaseException]) -> None:
        self.left, self.error = at, error

    def advance(self, n: int) -> None:
        self.left -= 1
        if self.left == 0:
            raise self.error()


@pytest.mark.parametrize("error", [Stopped, KeyboardInterrupt])
def test_a_run_killed_again_and_again_ends_as_the_undisturbed_one(
    finished: Path, generator: Any, classifier: Any, tmp_path: Path, error: type[BaseException]
) -> None:
    folder, stops = tmp_path / "run", 0
    while not (folder / "explanation.json").exists():
        try:
            # 3 reports a life: a step or two of the optimisation, or a caption or two
            explain(
                classifier, generator, "red circle", folder, words=TERMS, options=SMALL, progress=Stopping(3, error)
            )
        except (Stopped, KeyboardInterrupt):
            stops += 1
            assert stops < 40
    assert stops >= 3
    assert written(folder) == written(finished)


def test_ctrl_c_says_how_to_go_on(generator: Any, classifier: Any, tmp_path: Path) -> None:
    with pytest.raises(KeyboardInterrupt, match="same command goes on"):
        explain(
            classifier, generator, "red circle", tmp_path / "run", words=TERMS, options=SMALL,
            progress=Stopping(1, KeyboardInterrupt),
        )  # fmt: skip


def test_a_finished_run_renders_nothing_again(finished: Path, generator: Any, classifier: Any) -> None:
    before = written(finished)
    times = {path: path.stat().st_mtime_ns for path in (finished / "images").rglob("*.png")}
    explain(classifier, generator, "red circle", finished, words=TERMS, options=SMALL)
    assert written(finished) == before
    assert times == {path: path.stat().st_mtime_ns for path in times}


@pytest.mark.parametrize(
    ("target", "words", "changed", "says"),
    [
        ("blue circle", TERMS, {}, "target="), ("red circle", TERMS[:2], {}, "words="),
        ("red circle", TERMS, {"iterations": 4}, "iterations=3"),
    ],
)  # fmt: skip
def test_other_settings_are_refused_and_overwrite_begins_anew(
    finished: Path,
    generator: Any,
    classifier: Any,
    target: str,
    words: tuple[str, ...],
    changed: dict[str, int],
    says: str,
) -> None:
    options = ExplainOptions(**{**vars(SMALL), **changed})
    before = written(finished)
    with pytest.raises(RunFolderError, match=says):
        explain(classifier, generator, target, finished, words=words, options=options)
    assert written(finished) == before


def test_overwrite_leaves_nothing_of_the_run_before(generator: Any, classifier: Any, tmp_path: Path) -> None:
    other = ExplainOptions(**{**vars(SMALL), "iterations": 1, "n_images": 2})
    explain(classifier, generator, "red circle", tmp_path / "run", words=TERMS, options=SMALL)
    explain(classifier, generator, "0", tmp_path / "run", words=TERMS[:1], options=other, overwrite=True)
    found = Explanation.load(tmp_path / "run")
    assert found.n_images == 2 and found.optimisation.steps == 1
    assert len(list((tmp_path / "run" / "images").rglob("*.png"))) == 8


def test_a_neural_feature_has_no_activation_score_and_the_name_of_its_class(
    generator: Any, classifier: Any, tmp_path: Path
) -> None:
    found = explain(classifier, generator, "feature:penultimate:5", tmp_path / "run", words=TERMS, options=SMALL)
    weights = classifier.module.head.weight[:, 5]
    assert found.class_name == classifier.concept_names[int(weights.argmax())]
    assert all(one.activation is None for one in found.prompts) and found.decision is None
    assert write_explanation(found, tmp_path / "run").is_file()


class _Breaking(torch.nn.Module):
    """Mean red minus mean blue; not a number from the third pass with gradients on."""

    def __init__(self) -> None:
        super().__init__()
        self.scale = torch.nn.Parameter(torch.ones(()))
        self.passes = 0

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        score = self.scale * (images[:, 0] - images[:, 2]).mean((1, 2))
        if images.requires_grad:
            self.passes += 1
            if self.passes >= 3:
                score = score * float("nan")
        return score[:, None]


def test_a_loss_that_is_nan_stops_keeps_the_best_and_says_when(generator: Any, tmp_path: Path) -> None:
    broken = TorchClassifier(_Breaking(), outputs="scores", device="cpu")
    options = ExplainOptions(**{**vars(SMALL), "iterations": 9})
    found = explain(broken, generator, "0", tmp_path / "run", words=TERMS, class_name="red circle", options=options)
    assert found.optimisation.steps == 3
    assert found.optimisation.stopped is not None and "step 3" in found.optimisation.stopped
    assert np.isfinite(found.prompts[0].scores).all()
    page = write_explanation(found, tmp_path / "run").read_text(encoding="utf-8")
    assert "Stopped at step 3" in page
    again = explain(broken, generator, "0", tmp_path / "run", words=TERMS, class_name="red circle", options=options)
    assert again.optimisation.stopped == found.optimisation.stopped


def test_the_report_is_one_file_without_scripts(finished: Path, capsys: pytest.CaptureFixture[str]) -> None:
    found = Explanation.load(finished)
    text = write_explanation(found, finished, "genlens explain 'red circle'").read_text(encoding="utf-8")
    assert "<script" not in text and "http" not in text.replace("http-equiv", "")
    assert text.count("data:image/png") == 5 and "genlens explain" in text
    for one in found.prompts:
        assert one.name in text
    print_explanation(found)
    told = capsys.readouterr().out
    assert "red circle" in told and "activation score" in told


@pytest.mark.parametrize(
    ("outputs", "kind", "given"),
    [
        ([[2.0, 1.0], [0.0, 1.0]], "logits", (True, False)), ([[0.2], [-0.1]], "logits", (True, False)),
        ([[0.6], [0.4]], "probabilities", (True, False)),
        ([[0.4, 0.3, 0.3], [0.3, 0.4, 0.3]], "probabilities", (True, False)),
        ([[1.0, 3.0], [-1.0, -3.0]], "scores", (True, False)),
    ],
)  # fmt: skip
def test_what_counts_as_given_to_a_class(outputs: list[list[float]], kind: Any, given: tuple[bool, ...]) -> None:
    fixed = np.array(outputs, dtype=np.float32)
    model = CallableClassifier(lambda images: fixed, outputs=kind, fingerprint="fixed")
    images = np.zeros((2, 4, 4, 3), dtype=np.uint8)
    assert assigned(model, 0, images) == given
    assert assigned(model, None, images) is None


def test_a_damaged_explanation_or_checkpoint_is_one_line(finished: Path, tmp_path: Path) -> None:
    from genlens.prompts.standing import Standing

    with pytest.raises(RunFolderError, match="no finished explanation"):
        Explanation.load(tmp_path)
    (tmp_path / "explanation.json").write_text((finished / "explanation.json").read_text()[:-50])
    with pytest.raises(RunFolderError, match="damaged"):
        Explanation.load(tmp_path)
    content = json.loads((finished / "explanation.json").read_text())
    (tmp_path / "explanation.json").write_text(json.dumps({**content, "prompts": 3}))
    with pytest.raises(RunFolderError, match="damaged"):
        Explanation.load(tmp_path)
    (tmp_path / "checkpoint.safetensors").write_bytes((finished / "checkpoint.safetensors").read_bytes()[:-9])
    with pytest.raises(RunFolderError, match="damaged"):
        Standing.load(tmp_path / "checkpoint.safetensors")
    assert Standing.load(tmp_path / "none") is None


@pytest.mark.parametrize(
    ("changed", "says"),
    [({"iterations": 0}, "iterations"), ({"confidence": 1.0}, "confidence"), ({"n_images": 1}, "n_images"),
     ({"budget": 1}, "budget"), ({"seed": -1}, "seed")],
)  # fmt: skip
def test_options_out_of_range_are_refused(changed: dict[str, Any], says: str) -> None:
    with pytest.raises(UserError, match=says):
        ExplainOptions(**changed)


@pytest.mark.parametrize(
    ("target", "says"),
    [("green dog", "no class 'green dog'.*0 red circle"), ("17", "0..5"), ("feature:none:0", "must name a layer"),
     ("feature:head:99", "0..5"), ("feature:head", "LAYER:INDEX")],
)  # fmt: skip
def test_unknown_classes_layers_and_units_are_refused_before_anything_is_written(
    generator: Any, classifier: Any, tmp_path: Path, target: str, says: str
) -> None:
    with pytest.raises(UserError, match=says):
        explain(classifier, generator, target, tmp_path / "run", options=SMALL)
    assert not (tmp_path / "run").exists()


def test_models_that_do_not_fit_are_refused(generator: Any, classifier: Any, tmp_path: Path) -> None:
    function = CallableClassifier(lambda images: np.zeros((len(images), 1)), fingerprint="f")
    nameless = TorchClassifier(
        torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(12288, 2)), device="cpu", size=64
    )
    for model, source, target, words, says in (
        (function, generator, "0", TERMS, "`genlens rank` works for it"),
        (classifier, DrawerGenerator(), "0", TERMS, "no text encoder"),
        (classifier, generator, "0", (), "vocabulary is empty"),
        (nameless, generator, "1", TERMS, "--class-name"),
    ):
        with pytest.raises(UserError, match=says):
            explain(model, source, target, tmp_path / "run", words=words, options=SMALL)  # type: ignore[arg-type]
    assert not (tmp_path / "run").exists()


def command(*arguments: str | Path) -> Result:
    return CliRunner().invoke(app, ["explain", *map(str, arguments)])


def test_the_command_explains_and_goes_on(tmp_path: Path) -> None:
    (tmp_path / "words.txt").write_text("red circle\ngreen circle\n")
    asked = ["red circle", "--classifier", "bundled:shapes-concepts", "--generator", "shapes",
             "--out", tmp_path / "run", "--words", tmp_path / "words.txt", "--images", 2, "--iterations", 1,
             "--restarts", 1, "--batch", 2,
             "--n-words", 1]  # fmt: skip
    first = command(*asked)
    assert first.exit_code == 0, first.output
    assert "red circle" in first.stdout and "Report:" in first.stdout
    assert (tmp_path / "run" / "report.html").is_file()
    refused = command(*asked, "--seed", 1)
    assert refused.exit_code == 1 and "seed=0" in refused.stderr and len(refused.stderr.splitlines()) == 1


@pytest.mark.parametrize(
    ("more", "says"),
    [
        (["--words", " , "], "no words"), (["--words", "none/there.txt"], "can't be read"),
        (["--classifier", "bundled:nothing"], "no bundled classifier"), (["--generator", "drawer"], "no text encoder"),
        (["--template", "no place"], "one {}"), (["--rate", "nan"], "rate"),
    ],
)  # fmt: skip
def test_bad_input_is_one_line(tmp_path: Path, more: list[str], says: str) -> None:
    asked = ["0", "--classifier", "bundled:shapes-concepts", "--generator", "shapes", "--out", tmp_path / "run"]
    result = command(*asked, "--words", "red circle", *more)
    assert result.exit_code == 1 and "Traceback" not in result.output
    assert len(result.stderr.splitlines()) == 1 and says in result.stderr
    assert not (tmp_path / "run" / "explanation.json").exists()


def test_pictures_of_the_drawer_are_given_to_their_class(classifier: Any) -> None:
    """The decision itself, on pictures that are known."""
    images = np.stack([draw_caption("red circle", 1), draw_caption("blue rectangle", 1)])
    assert assigned(classifier, 0, images) == (True, False)
