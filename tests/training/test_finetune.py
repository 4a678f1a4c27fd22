"""Fine-tuning from end to end on tiny pipelines: the same weights after a kill, real results, one-line refusals.

Everything runs on one thread, where the same operations give the same bits: tolerances are 0 unless said otherwise.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from genlens.errors import CaptionError, UserError
from genlens.generators.diffusers import DiffusersGenerator
from genlens.progress import SilentProgress
from genlens.training.finetune import train_generator
from genlens.training.finetune_data import CaptionedImages, from_column
from genlens.training.finetune_parts import Base, Parts
from genlens.training.finetune_quality import QualityProbe
from genlens.training.finetune_recipe import FinetuneRecipe
from genlens.training.finetune_run import Schedule

CPU: dict[str, Any] = {"device": "cpu"}
SHORT = FinetuneRecipe(steps=4, batch=4, rate=1e-3, ema=0.5)
DENOISER = {"sd": "unet", "sdxl": "unet", "pixart": "transformer"}


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def denoiser(pipeline: Path, kind: str = "sd") -> dict[str, torch.Tensor]:
    from safetensors.torch import load_file

    return load_file(pipeline / DENOISER[kind] / "diffusion_pytorch_model.safetensors")


def same(one: dict[str, torch.Tensor], other: dict[str, torch.Tensor]) -> bool:
    return one.keys() == other.keys() and all(torch.equal(value, other[name]) for name, value in one.items())


class At(SilentProgress):
    """Does something once the n-th step of training is done."""

    def __init__(self, n: int, act: Callable[[], None]) -> None:
        self.n, self.act, self.training = n, act, False

    def start(self, task: str, total: int) -> None:
        self.training = task == "Training"

    def advance(self, n: int) -> None:
        self.n -= self.training
        if self.training and self.n == 0:
            self.act()


class Killed(Exception):
    """Stands for a power cut: nothing is saved on the way out."""


def cut() -> None:
    raise Killed


@pytest.fixture(scope="session")
def whole(pipeline_folder: Any, captioned: CaptionedImages, tmp_path_factory: pytest.TempPathFactory) -> Any:
    """Folder of an undisturbed training by kind and rank, made once."""
    made: dict[Any, Path] = {}

    def folder(kind: str, rank: int | None) -> Path:
        key = (kind, rank)
        if key not in made:
            made[key] = tmp_path_factory.mktemp("whole") / "out"
            recipe = FinetuneRecipe(**{**vars(SHORT), "lora_rank": rank})
            train_generator(captioned, pipeline_folder(kind), made[key], recipe, merge=rank is not None, **CPU)
        return made[key]

    return folder


@pytest.mark.parametrize("kind", ["sd", "sdxl", "pixart"])
def test_full_training_changes_the_denoiser_alone(kind: str, pipeline_folder: Any, whole: Any) -> None:
    base, out = pipeline_folder(kind), whole(kind, None)
    before, after = denoiser(base, kind), denoiser(out / "pipeline", kind)
    assert before.keys() == after.keys() and not same(before, after)
    for part in ("vae", "text_encoder"):
        files = [folder / part / "config.json" for folder in (base, out / "pipeline")]
        assert files[0].read_bytes() == files[1].read_bytes()
    rows = (out / "log.csv").read_text().splitlines()
    assert rows[0] == "step,loss,norm,rate" and len(rows) == 5
    assert "_name_or_path" not in json.loads((out / "pipeline" / DENOISER[kind] / "config.json").read_text())
    generator = DiffusersGenerator.from_pretrained(out / "pipeline", num_inference_steps=2, device="cpu")
    assert generator.generate(["red circle"], [0]).shape == (1, 16, 16, 3)


@pytest.mark.parametrize(("kind", "rank"), [("sd", 2), ("sdxl", None), ("pixart", None), ("pixart", 2)])
def test_a_cut_training_goes_on_to_the_same_weights(
    kind: str, rank: int | None, pipeline_folder: Any, captioned: CaptionedImages, whole: Any, tmp_path: Path
) -> None:
    recipe = FinetuneRecipe(**{**vars(SHORT), "lora_rank": rank})
    every = Schedule(checkpoint_every=2)
    call: dict[str, Any] = {"schedule": every, "merge": rank is not None, **CPU}
    with pytest.raises(Killed):
        train_generator(captioned, pipeline_folder(kind), tmp_path, recipe, progress=At(3, cut), **call)
    assert [path.name for path in (tmp_path / "checkpoints").iterdir()] == ["step-00000002.pt"]
    train_generator(captioned, pipeline_folder(kind), tmp_path, recipe, **call)
    assert same(denoiser(tmp_path / "pipeline", kind), denoiser(whole(kind, rank) / "pipeline", kind))
    assert (tmp_path / "log.csv").read_bytes() == (whole(kind, rank) / "log.csv").read_bytes()


def test_kill_9_and_resume(
    pipeline_folder: Any, captioned: CaptionedImages, shapes_folder: Path, whole: Any, tmp_path: Path
) -> None:
    """The process is killed by SIGKILL after its third step, past the checkpoint of the second."""
    script = f"""
import os, signal, torch
from genlens.captions import ListTemplate
from genlens.concepts import ConceptTable
from genlens.progress import SilentProgress
from genlens.training.finetune import train_generator
from genlens.training.finetune_data import from_table
from genlens.training.finetune_recipe import FinetuneRecipe
from genlens.training.finetune_run import Schedule
torch.set_num_threads(1)
class Kill(SilentProgress):
    steps = -1
    def start(self, task, total):
        self.steps = 3 if task == "Training" else -1
    def advance(self, n):
        self.steps -= 1
        if self.steps == 0:
            os.kill(os.getpid(), signal.SIGKILL)
concepts = ("red circle", "green circle", "blue circle")
table = ConceptTable.from_metadata({str(shapes_folder)!r}, concepts, template=ListTemplate(texts=False))
recipe = FinetuneRecipe(steps=4, batch=4, rate=1e-3, ema=0.5)
train_generator(from_table(table).take(range(12)), {str(pipeline_folder("sd"))!r}, {str(tmp_path)!r}, recipe,
                schedule=Schedule(checkpoint_every=2), device="cpu", progress=Kill())
"""
    path = os.pathsep.join([str(Path(__file__).parents[2] / "src"), os.environ.get("PYTHONPATH", "")])
    done = subprocess.run(
        [sys.executable, "-c", script], env={**os.environ, "PYTHONPATH": path}, capture_output=True, timeout=200
    )
    assert done.returncode == -signal.SIGKILL, done.stderr.decode()[-2000:]
    assert len((tmp_path / "log.csv").read_text().splitlines()) == 4 and not (tmp_path / "pipeline").exists()
    train_generator(captioned, pipeline_folder("sd"), tmp_path, SHORT, **CPU)
    assert same(denoiser(tmp_path / "pipeline"), denoiser(whole("sd", None) / "pipeline"))
    assert (tmp_path / "log.csv").read_bytes() == (whole("sd", None) / "log.csv").read_bytes()


@pytest.mark.parametrize("part", ["optimizer", "average", "step"])
def test_a_wrong_resume_gives_other_weights(
    part: str, pipeline_folder: Any, captioned: CaptionedImages, whole: Any, tmp_path: Path
) -> None:
    with pytest.raises(Killed):
        train_generator(
            captioned, pipeline_folder("sd"), tmp_path, SHORT, schedule=Schedule(2), progress=At(2, cut), **CPU
        )
    train_generator(captioned, pipeline_folder("sd"), tmp_path, FinetuneRecipe(**{**vars(SHORT), "steps": 2}), **CPU)
    path = tmp_path / "checkpoints" / "step-00000002.pt"
    state = torch.load(path, weights_only=True)
    if part == "optimizer":
        state["optimizer"]["state"] = {}
    elif part == "average":
        state["average"] = state["weights"]
    else:
        state["step"] = 1
    torch.save(state, path)
    train_generator(captioned, pipeline_folder("sd"), tmp_path, SHORT, **CPU)
    assert not same(denoiser(tmp_path / "pipeline"), denoiser(whole("sd", None) / "pipeline"))


def test_ctrl_c_ends_the_step_and_keeps_it(
    pipeline_folder: Any, captioned: CaptionedImages, whole: Any, tmp_path: Path
) -> None:
    stop = At(3, lambda: os.kill(os.getpid(), signal.SIGINT))
    with pytest.raises(KeyboardInterrupt, match="Stopped after step 3"):
        train_generator(captioned, pipeline_folder("sd"), tmp_path, SHORT, progress=stop, **CPU)
    assert [path.name for path in (tmp_path / "checkpoints").iterdir()] == ["step-00000003.pt"]
    train_generator(captioned, pipeline_folder("sd"), tmp_path, SHORT, **CPU)
    assert same(denoiser(tmp_path / "pipeline"), denoiser(whole("sd", None) / "pipeline"))


def test_micro_batches_give_the_same_weights(
    pipeline_folder: Any, captioned: CaptionedImages, whole: Any, tmp_path: Path
) -> None:
    """Up to rounding: sums of float32 in another order, which AdamW's first steps blow up to parts of the rate."""
    recipe = FinetuneRecipe(**{**vars(SHORT), "accumulation": 2, "gradient_checkpointing": True})
    train_generator(captioned, pipeline_folder("sd"), tmp_path, recipe, **CPU)
    found, wanted = denoiser(tmp_path / "pipeline"), denoiser(whole("sd", None) / "pipeline")
    far = torch.cat([(found[name] - value).abs().flatten() for name, value in wanted.items()])
    assert float(far.quantile(0.99)) < 2e-5 and float(far.max()) < 5e-3
    logs = [folder / "log.csv" for folder in (tmp_path, whole("sd", None))]
    losses = [np.loadtxt(path, delimiter=",", skiprows=1)[:, 1] for path in logs]
    np.testing.assert_allclose(*losses, rtol=1e-4)


@pytest.mark.parametrize("kind", ["sd", "pixart"])
def test_lora_weights_are_those_of_the_merged_pipeline(kind: str, pipeline_folder: Any, whole: Any) -> None:
    from safetensors.torch import load_file

    out = whole(kind, 2)
    found = load_file(out / "lora" / "pytorch_lora_weights.safetensors")
    assert all(name.startswith(DENOISER[kind]) for name in found)
    assert any(float(value.abs().max()) > 0 for name, value in found.items() if "lora_B" in name)
    size: dict[str, Any] = {"num_inference_steps": 2, "device": "cpu"}
    base = DiffusersGenerator.from_pretrained(pipeline_folder(kind), **size)
    added = DiffusersGenerator.from_pretrained(pipeline_folder(kind), lora=out / "lora", **size)
    merged = DiffusersGenerator.from_pretrained(out / "pipeline", **size)
    images = [model.generate(["red circle"], [0]).astype(int) for model in (base, added, merged)]
    assert np.abs(images[1] - images[2]).max() <= 1
    state = [getattr(model.pipeline, DENOISER[kind]).state_dict() for model in (added, merged)]
    for name, value in state[1].items():
        torch.testing.assert_close(state[0][name], value, atol=1e-6, rtol=1e-5)
    assert added.fingerprint != base.fingerprint


def test_learning_lowers_the_loss(pipeline_folder: Any, captioned: CaptionedImages, tmp_path: Path) -> None:
    recipe = FinetuneRecipe(steps=25, batch=8, rate=5e-3, caption_dropout=0.0)
    train_generator(captioned, pipeline_folder("sd"), tmp_path, recipe, **CPU)
    losses = np.loadtxt(tmp_path / "log.csv", delimiter=",", skiprows=1)[:, 1]
    assert losses[-8:].mean() < 0.9 * losses[:4].mean()


@pytest.mark.parametrize(("side", "plain"), [(None, True), (64, False)])
def test_small_latents_are_trained_with_plain_attention_that_says_the_same(
    side: int | None, plain: bool, pipeline_folder: Any, captioned: CaptionedImages, monkeypatch: pytest.MonkeyPatch
) -> None:
    from diffusers import PixArtTransformer2DModel
    from diffusers.models.attention_processor import AttnProcessor, AttnProcessor2_0

    folder = pipeline_folder("pixart")
    load = PixArtTransformer2DModel.from_pretrained

    def larger(*arguments: Any, **options: Any) -> Any:
        model = load(*arguments, **options)
        model.register_to_config(sample_size=side or model.config.sample_size)
        return model

    monkeypatch.setattr(PixArtTransformer2DModel, "from_pretrained", larger)
    parts = Parts(Base.of(folder), "cpu")
    kind = AttnProcessor if plain else AttnProcessor2_0
    assert {type(value) for value in parts.denoiser.attn_processors.values()} == {kind}
    noisy = torch.randn(2, *parts.latents(parts.moments(captioned.pixels([0], (16, 16))), torch.Generator()).shape[1:])
    words, times = parts.words(captioned.captions[:2]), torch.tensor([10, 900])
    with torch.no_grad():
        one = parts.predict(parts.denoiser, noisy, times, words)
        parts.denoiser.set_attn_processor(AttnProcessor2_0())
        assert torch.allclose(one, parts.predict(parts.denoiser, noisy, times, words), atol=1e-5)


def redness(images: Any) -> np.ndarray:
    return np.stack([np.asarray(images, dtype=float)[..., i].mean(axis=(1, 2)) for i in range(3)], axis=1)


def test_cards_and_sheets(
    pipeline_folder: Any, captioned: CaptionedImages, shapes_folder: Path, tmp_path: Path
) -> None:
    from PIL import Image

    from genlens.classifiers import as_classifier
    from genlens.concepts import ConceptTable

    table = ConceptTable.from_metadata(shapes_folder, ["red circle", "green circle", "blue circle"])
    watched = captioned.take(range(8))
    probe = QualityProbe(table, range(8), watched, as_classifier(redness), 0)
    call: dict[str, Any] = {"held_out": watched, "probe": probe, **CPU}
    every = Schedule(validate_every=2, render_steps=2)
    done = train_generator(captioned, pipeline_folder("sd"), tmp_path, SHORT, schedule=every, **call)
    assert [card[0].step for card in done.cards] == [0, 2, 4]
    assert [row.concept for row in done.cards[0]] == [*table.names, "mean"]
    assert all(card[-1].real == done.cards[0][-1].real for card in done.cards)
    sheets = sorted((tmp_path / "validation").iterdir())
    with Image.open(sheets[0]) as sheet:
        assert len(sheets) == 3 and sheet.size == (8 * 16, 2 * 16)
    again = train_generator(captioned, pipeline_folder("sd"), tmp_path, SHORT, schedule=every, **call)
    assert done.gain is not None and done.gain.low <= done.gain.value <= done.gain.high
    assert np.isclose(done.gain.value, done.cards[-1][-1].generated - done.cards[0][-1].generated)
    assert again.gain == done.gain
    assert done.pipeline is not None
    assert json.loads((done.pipeline / "genlens.json").read_text()) == {"num_inference_steps": 2}  # as it was measured
    assert again.cards == done.cards  # a finished training is not trained, measured or logged again
    with pytest.raises(UserError, match="No concept is present in some and absent in others"):
        QualityProbe(table, [0], captioned.take([0]), as_classifier(redness), 0)


def test_only_the_latest_checkpoints_are_kept(
    pipeline_folder: Any, captioned: CaptionedImages, tmp_path: Path
) -> None:
    train_generator(captioned, pipeline_folder("sd"), tmp_path, SHORT, schedule=Schedule(1, keep=2), **CPU)
    names = [path.name for path in sorted((tmp_path / "checkpoints").iterdir())]
    assert names == ["step-00000003.pt", "step-00000004.pt"]
    (tmp_path / "checkpoints" / names[1]).write_bytes(b"not a checkpoint")
    with pytest.raises(UserError, match=r"step-00000004.pt can't be read. Delete it to go on from the one before"):
        train_generator(captioned, pipeline_folder("sd"), tmp_path, SHORT, **CPU)


@pytest.fixture
def nothing_loaded(monkeypatch: pytest.MonkeyPatch) -> None:
    """Loading weights is an error."""
    monkeypatch.setattr("genlens.training.finetune_parts.load_pipeline", None)


def with_captions(data: CaptionedImages, text: str) -> CaptionedImages:
    return CaptionedImages(data.names, data.paths, (text,) * len(data))


@pytest.mark.usefixtures("nothing_loaded")
@pytest.mark.parametrize(
    ("kind", "change", "text", "error", "message"),
    [
        ("sd", {}, "red circle, " * 8, CaptionError, "longer than the text encoder's limit of 16 tokens"),
        ("sd", {}, "red sneaker", UserError, "tokenizer doesn't know 'sneaker'"),
        ("lcm", {}, "", UserError, "LatentConsistencyModelPipeline, which can't be fine-tuned here"),
        ("sd", {"precision": "fp16"}, "", UserError, "`precision` fp16 needs a GPU"),
    ],
)
def test_refused_before_weights_are_read(
    kind: str, change: dict[str, Any], text: str, error: type[Exception], message: str, pipeline_folder: Any,
    captioned: CaptionedImages, tmp_path: Path,
) -> None:  # fmt: skip
    recipe = FinetuneRecipe(**{**vars(SHORT), **change})
    with pytest.raises(error, match=message):
        train_generator(with_captions(captioned, text), pipeline_folder(kind), tmp_path / "out", recipe, **CPU)
    assert not (tmp_path / "out").exists()


def test_folders_of_something_else_are_refused(
    pipeline_folder: Any, captioned: CaptionedImages, tmp_path: Path, nothing_loaded: None
) -> None:
    (tmp_path / "mine.txt").write_text("mine")
    with pytest.raises(UserError, match="holds something that isn't a training"):
        train_generator(captioned, pipeline_folder("sd"), tmp_path, SHORT, **CPU)
    assert (tmp_path / "mine.txt").read_text() == "mine"
    with pytest.raises(UserError, match="`device` must be auto or cpu; got 'cuda:1'"):
        train_generator(captioned, pipeline_folder("sd"), tmp_path / "out", SHORT, device="cuda:1")
    out = tmp_path / "out"
    with pytest.raises(TypeError):  # the folder is begun, then loading fails
        train_generator(captioned, pipeline_folder("sd"), out, SHORT, **CPU)
    for change, message in (
        ({"seed": 1}, "was begun with seed=0; this training asks for 1"),
        ({"rate": 2e-3}, "was begun with rate=0.001"),
    ):
        with pytest.raises(UserError, match=message):
            train_generator(captioned, pipeline_folder("sd"), out, FinetuneRecipe(**{**vars(SHORT), **change}), **CPU)
    with pytest.raises(UserError, match="was begun with data="):
        train_generator(captioned.take(range(11)), pipeline_folder("sd"), out, SHORT, **CPU)


def test_captions_from_a_column(shapes_folder: Path) -> None:
    found = from_column(shapes_folder, "red circle slot")
    assert len(found) == 64 and all(text.startswith("red circle (") for text in found.captions)
    with pytest.raises(UserError, match="`caption_column` is 'text', which is not a column of metadata"):
        from_column(shapes_folder, "text")
