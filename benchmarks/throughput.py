"""How fast genlens renders and scores, as ratios from one run: under two minutes on two cores.

    python benchmarks/throughput.py [--threads 2] [--rows 40] [--only loop,time,steps,cost]

loop   the engine against diffusers' own pipeline called in a loop, at equal batch and steps; against the published
       protocol; against itself without overlap.
time   where the time goes, and how far from the arithmetic limit of the machine that is.
steps  images a second against steps and batch.
cost   images and planning time against rows, concepts, permutations and donors; what a second classifier costs.
"""

from __future__ import annotations

import argparse
import functools
import random
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import pandas as pd
import torch
from PIL import Image

from genlens.classifiers.bundled import load_demo_target, load_shapes_checker
from genlens.cli.loading import shipped_pipeline
from genlens.concepts import ConceptTable
from genlens.datasets.shapes import CONCEPTS, sample_presence
from genlens.engine import Engine, plan_keys
from genlens.generators.diffusers import DiffusersGenerator
from genlens.generators.linear import linear_is_slow
from genlens.generators.pipelines import load_pipeline, quiet
from genlens.plan import Plan, make_plan
from genlens.run_folder import RunFolder

P = 500
ROUNDS = 5


def seconds(call: Callable[[], Any], clock: Callable[[], float] = time.perf_counter) -> float:
    """How long a call takes."""
    began = clock()
    call()
    return clock() - began


def shapes_plan(n_rows: int) -> Plan:
    """Six concepts: 7 images a row."""
    frame = pd.DataFrame(sample_presence(n_rows, 0), columns=list(CONCEPTS))
    frame["label"], frame["file_name"] = frame[CONCEPTS[0]], [f"{i}.png" for i in range(n_rows)]
    return make_plan(ConceptTable.from_frame(frame, list(CONCEPTS), "label"), seed=0)


@contextmanager
def run_folder() -> Iterator[RunFolder]:
    """An empty run folder."""
    with tempfile.TemporaryDirectory() as path:
        folder = RunFolder(path)
        folder.open_or_create({})
        yield folder


def render(plan: Plan, generator: Any, classifier: Any, batch: int, **options: Any) -> None:
    """All of a run but its statistics."""
    with run_folder() as folder:
        Engine(folder, batch_size=batch, **options).run(plan, generator, {"target": classifier})


def render_in_order(plan: Plan, generator: Any, classifier: Any, batch: int) -> None:
    """The same one step after the other."""
    with run_folder() as folder:
        keys = plan_keys(plan, generator)
        for start in range(0, plan.n_images, batch):
            part = slice(start, start + batch)
            images = generator.generate(plan.captions[part], plan.seeds[part].tolist())
            folder.images.append(keys[part], plan.captions[part], plan.seeds[part].tolist(), images)
            folder.scores("target").append(keys[part], classifier.predict(images))


def call_the_pipeline(plan: Plan, pipeline: Any, classifier: Any, batch: int) -> None:
    """What one writes without genlens: the pipeline in a loop, images saved as PNG, then scored."""
    with tempfile.TemporaryDirectory() as path, quiet(), torch.inference_mode():
        for start in range(0, plan.n_images, batch):
            noise = [torch.Generator().manual_seed(int(seed)) for seed in plan.seeds[start : start + batch]]
            pictures: list[Image.Image] = pipeline(
                list(plan.captions[start : start + batch]), generator=noise, num_inference_steps=1, guidance_scale=1.0,
                use_resolution_binning=False, max_sequence_length=48,
            ).images  # fmt: skip
            for number, picture in enumerate(pictures):
                picture.save(f"{path}/{start + number}.png")
            classifier.predict([np.asarray(picture) for picture in pictures])


def loop(plan: Plan, generator: DiffusersGenerator, batch: int) -> None:
    """Engine, engine without overlap, and the bare pipeline; in a new order each round: the place matters."""
    classifier = load_demo_target()
    source = shipped_pipeline("shapes")
    pipeline, _ = load_pipeline(source, dtype="float32", device="cpu", scheduler=None, lora=[], lcm=False)
    pipeline.set_progress_bar_config(disable=True)
    ways: dict[str, Callable[[], None]] = {
        "genlens": lambda: render(plan, generator, classifier, batch),
        "genlens, scoring aside as well": lambda: render(plan, generator, classifier, batch, score_aside=True),
        "genlens, nothing overlapping": lambda: render_in_order(plan, generator, classifier, batch),
        "diffusers' pipeline in a loop": lambda: call_the_pipeline(plan, pipeline, classifier, batch),
    }
    found: dict[str, list[float]] = {name: [] for name in ways}
    order = random.Random(0)
    for _ in range(ROUNDS):
        for name in order.sample(list(ways), len(ways)):
            generator._embeddings._cache.clear()
            found[name].append(seconds(ways[name]))
    best = {name: statistics.median(times) for name, times in found.items()}
    print(f"\n{plan.n_images} images, one step, batches of {batch}, PNG written, one classifier; median of {ROUNDS}")
    for name, took in best.items():
        print(f"  {name}: {took:.2f} s, {plan.n_images / took:.0f} images/s, {took / best['genlens']:.2f} x genlens")
    naive = plan.n_naive(P)
    rate = plan.n_images / best["diffusers' pipeline in a loop"]
    print(f"published protocol, P = {P}: {naive:,} images, {naive / rate / 60:.0f} min at the loop's rate (computed);")
    ours = best["genlens"]
    print(f"  genlens: {naive / plan.n_images:,.0f} times fewer images, {naive / rate / ours:,.0f} times less time")


def where_time_goes(plan: Plan, generator: DiffusersGenerator, batch: int) -> None:
    """Share of each part in rendering, and the arithmetic limit."""
    from torch.utils.flop_counter import FlopCounterMode

    captions, seeds = plan.captions[:batch], plan.seeds[:batch].tolist()
    generator._embeddings._cache.clear()
    with FlopCounterMode(display=False) as counter:
        generator.generate(captions, seeds)
    spent: dict[str, float] = {}
    parts = {"text encoder": "text_encoder", "denoiser": "transformer", "decoder": "vae.decoder"}
    undo = [_timed(generator.pipeline, path, name, spent) for name, path in parts.items()]
    whole = 0.0
    for start in range(0, plan.n_images, batch):
        part = slice(start, start + batch)
        call = functools.partial(generator.generate, plan.captions[part], plan.seeds[part].tolist())
        whole += seconds(call)
    for restore in undo:
        restore()
    beside(plan, generator, batch)
    a, layer, inputs = torch.randn(1024, 1024), torch.nn.Linear(1024, 1024), torch.randn(1024, 1024)
    with torch.inference_mode():
        plain = 2 * 1024**3 / min(seconds(lambda: a @ a) for _ in range(30)) / 1e9
        onednn = 0.0
        if linear_is_slow():
            own = torch.ops.mkldnn._linear_pointwise
            times = [seconds(lambda: own(inputs, layer.weight, layer.bias, "none", [], "")) for _ in range(30)]
            onednn = 2 * 1024**3 / min(times) / 1e9
    print(f"rendering {plan.n_images} images: {whole:.2f} s")
    for name, took in spent.items():
        print(f"  {name}: {took / whole:.0%}")
    print(f"  the rest (noise, scheduler, conversion): {1 - sum(spent.values()) / whole:.0%}")
    work = counter.get_total_flops() / len(captions) / 1e9  # GFLOP an image, without the layers oneDNN takes
    print(f"matrix products: {plain:.0f} GFLOP/s by torch's `@`, {onednn:.0f} by oneDNN (0: not used here)")
    work += _linear_work(generator, captions, seeds)
    limit, rate = max(plain, onednn) / work, plan.n_images / whole
    print(f"{work:.2f} GFLOP an image: at most {limit:.0f} images/s; reached {rate:.0f}, {rate / limit:.0%} of it")


def beside(plan: Plan, generator: DiffusersGenerator, batch: int) -> None:
    """Encoding with writing, and scoring, against rendering: what overlap can hide. Best of three."""
    captions, seeds = plan.captions[:batch], plan.seeds[:batch].tolist()
    images, classifier = generator.generate(captions, seeds), load_demo_target()
    rendering = min(seconds(lambda: generator.generate(captions, seeds)) for _ in range(3))
    scoring = min(seconds(lambda: classifier.predict(images)) for _ in range(3))
    with run_folder() as folder:
        keys = [[f"{attempt} {number}" for number in range(len(images))] for attempt in range(3)]
        writing = min(seconds(functools.partial(folder.images.append, k, captions, seeds, images)) for k in keys)
    print(f"\na batch of {len(images)}: rendering {rendering * 1e3:.0f} ms, encoding and writing ", end="")
    print(f"{writing / rendering:.1%} of that, scoring {scoring / rendering:.1%}")


def _linear_work(generator: DiffusersGenerator, captions: Any, seeds: Any) -> float:
    """GFLOP an image in layers that torch's counter doesn't see."""
    from genlens.generators.linear import OneDnnLinear

    total = 0

    def count(module: Any, given: Any, _: Any) -> None:
        nonlocal total
        total += 2 * given[0].numel() * module.out_features

    layers = [layer for part in generator.pipeline.components.values() if isinstance(part, torch.nn.Module)
              for layer in part.modules() if isinstance(layer, OneDnnLinear)]  # fmt: skip
    hooks = [layer.register_forward_hook(count) for layer in layers]
    generator._embeddings._cache.clear()
    generator.generate(captions, seeds)
    for hook in hooks:
        hook.remove()
    return total / len(captions) / 1e9


def _timed(pipeline: Any, path: str, name: str, spent: dict[str, float]) -> Callable[[], None]:
    """Add up the time in a part of the pipeline; returns what undoes it."""
    module = functools.reduce(getattr, path.split("."), pipeline)
    original = module.forward

    @functools.wraps(original)
    def forward(*arguments: Any, **named: Any) -> Any:
        began = time.perf_counter()
        try:
            return original(*arguments, **named)
        finally:
            spent[name] = spent.get(name, 0.0) + time.perf_counter() - began

    module.forward = forward
    return lambda: setattr(module, "forward", original)


def steps_and_batches(plan: Plan) -> None:
    """Images a second."""
    print("\nimages/s    batch 1   batch 8  batch 64")
    for steps in (1, 2, 4):
        rates = []
        for batch in (1, 8, 64):
            generator = DiffusersGenerator.from_pretrained(
                shipped_pipeline("shapes"), num_inference_steps=steps, batch_size=batch
            )
            n = min(plan.n_images, max(8, batch))
            captions, seeds = plan.captions[:n], plan.seeds[:n].tolist()
            generator.generate(captions, seeds)
            rates.append(n / seconds(functools.partial(generator.generate, captions, seeds)))
        print(f"{steps} step(s)  " + "".join(f"{rate:10.0f}" for rate in rates), flush=True)


def cost(plan: Plan, generator: DiffusersGenerator, batch: int) -> None:
    """Images and planning time; a second classifier."""
    rng = np.random.default_rng(0)
    print("\nrows, binary concepts, number concepts, donors: images (published protocol), seconds to plan")
    for n, d, numbers, donors in ((1000, 6, 0, 2), (2000, 6, 0, 2), (1000, 12, 0, 2), (1000, 6, 2, 2), (1000, 6, 2, 4),
                                  (20000, 15, 0, 2)):  # fmt: skip
        frame = pd.DataFrame({f"c{j}": rng.integers(0, 2, n) for j in range(d)})
        for j in range(numbers):
            frame[f"n{j}"] = rng.normal(size=n)
        names = list(frame.columns)
        frame["label"], frame["file_name"] = rng.integers(0, 2, n), [f"{i}.png" for i in range(n)]
        table = ConceptTable.from_frame(frame, names, "label")
        began = time.perf_counter()
        made = make_plan(table, 0, n_donors=donors)
        took = time.perf_counter() - began
        print(f"{n}, {d}, {numbers}, {donors}: {made.n_images:,} ({made.n_naive(P):,}), {took:.2f} s", flush=True)
    with run_folder() as folder:
        models: dict[str, Any] = {"target": load_demo_target(), "second": load_shapes_checker()}
        run = functools.partial(Engine(folder, batch_size=batch).run, plan, generator)
        first = seconds(lambda: run({"target": models["target"]}))
        second = seconds(lambda: run({"second": models["second"]}))
    print(f"{plan.n_images} images: {first:.2f} s rendered and scored; a second classifier {second:.2f} s, ", end="")
    print(f"{second / first:.1%} of the first")


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--rows", type=int, default=40)
    parser.add_argument("--batch", type=int, default=64)
    parser.add_argument("--only", default="loop,time,steps,cost")
    chosen = parser.parse_args()
    torch.set_num_threads(chosen.threads)
    plan, generator = shapes_plan(chosen.rows), DiffusersGenerator.from_pretrained(shipped_pipeline("shapes"))
    generator.generate(plan.captions[: chosen.batch], plan.seeds[: chosen.batch].tolist())
    print(f"{chosen.threads} threads, torch {torch.__version__}, shipped generator, {generator.size} pixels, float32")
    parts = {
        "loop": lambda: loop(plan, generator, chosen.batch),
        "time": lambda: where_time_goes(plan, generator, chosen.batch),
        "steps": lambda: steps_and_batches(plan),
        "cost": lambda: cost(plan, generator, chosen.batch),
    }
    for part in chosen.only.split(","):
        parts[part]()


if __name__ == "__main__":
    main()
