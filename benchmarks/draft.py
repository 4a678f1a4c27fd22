"""What gradients through K of n denoising steps cost and give (DRaFT-K), and what explaining a class costs.

    python benchmarks/draft.py memory    peak memory and time of a step, K = 1, 2, 4 of 4 with and without checkpointing
    python benchmarks/draft.py quality   score on held-out seeds after equally many steps, K = 1, 2, 4 of 4
    python benchmarks/draft.py classes   each concept of the shapes on the shipped generator, default settings

`memory` builds a pipeline of Stable Diffusion's shape with random weights, 128 x 128 pixels by default, in which
activations outweigh the weights. Each line is a process of its own, forked once the pipeline is built and has rendered
a picture: peak memory is its highest resident size (`VmHWM`) during a forward and a backward pass, minus its resident
size before. Seconds are of CPU, one thread.
"""

from __future__ import annotations

import argparse
import multiprocessing
import os
import time
from importlib.resources import files
from pathlib import Path
from typing import Any

import torch

from genlens.classifiers.bundled import load_shapes_checker, load_shapes_concepts
from genlens.generators.diffusers import DiffusersGenerator
from genlens.generators.pipelines import quiet
from genlens.prompts.objectives import class_logit
from genlens.prompts.optimize import STEPS, optimize_prompt, report_seeds
from genlens.prompts.soft import SoftPrompt

N_STEPS = 4
KS = (1, 2, 4)
WORDS = ["a", "picture", "of", "x", *map(str, range(28))]


def main() -> None:
    """Run the parts asked for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("part", choices=["memory", "quality", "classes"])
    parser.add_argument("--side", type=int, default=128, help="pixels of a side, for memory")
    parser.add_argument("--batch", type=int, default=4, help="pictures a step, for memory")
    parser.add_argument("--steps", type=int, default=None, help="of the optimisation")
    parser.add_argument("--concepts", nargs="*", default=None, help="only these")
    parser.add_argument("--ks", nargs="*", type=int, default=KS, help="only these")
    arguments = parser.parse_args()
    if arguments.part == "memory":
        memory(arguments.side, arguments.batch)
    elif arguments.part == "quality":
        quality(arguments.concepts or ["green circle", "red rectangle"], arguments.steps or 30, arguments.ks)
    else:
        classes(arguments.concepts, arguments.steps)


def memory(side: int, batch: int) -> None:
    """Print peak memory and seconds of one step."""
    torch.set_num_threads(1)  # no threads that a fork would lose
    prompt = SoftPrompt(DiffusersGenerator(tiny_diffusion(side), num_inference_steps=N_STEPS, guidance_scale=1.0))
    weights = sum(
        value.numel() * 4
        for part in prompt.gradient_generator.pipeline.components.values()
        if isinstance(part, torch.nn.Module)
        for value in part.parameters()
    )
    prompt.images(prompt.state(), [0])
    print(f"{side} x {side} pixels, batch {batch}, {N_STEPS} steps, one thread; weights {weights / 2**20:.0f} MiB")
    print("| K of 4 | checkpointing | precision | peak MiB | seconds a step |\n|---|---|---|---|---|", flush=True)
    for last_steps in KS[::-1]:
        for checkpointing in (False, True):
            for narrow in (False, True) if last_steps == 1 else (False,):
                peak, seconds = in_a_fork(one_step, prompt, batch, last_steps, checkpointing, narrow)
                kind = "bfloat16" if narrow else "float32"
                on = "yes" if checkpointing else "no"
                print(f"| {last_steps} | {on} | {kind} | {peak:.0f} | {seconds:.1f} |", flush=True)


def one_step(prompt: SoftPrompt, batch: int, last_steps: int, checkpointing: bool, narrow: bool) -> tuple[float, float]:
    """Peak memory in MiB above what was there, and seconds of CPU, of one forward and one backward pass."""
    before, start = resident("VmRSS"), time.process_time()
    with torch.autocast("cpu", torch.bfloat16, enabled=narrow):
        told = prompt.conditioning().rows(torch.zeros(batch, dtype=torch.int64))
        images = prompt.gradient_generator.render(
            told, range(batch), last_steps=last_steps, checkpointing=checkpointing
        )
        loss = images.float().mean()
    loss.backward()
    return resident("VmHWM") - before, time.process_time() - start


def in_a_fork(function: Any, *arguments: Any) -> Any:
    """Result of a function in a process of its own."""
    ours, theirs = multiprocessing.get_context("fork").Pipe(duplex=False)
    child = os.fork()
    if child == 0:
        theirs.send(function(*arguments))
        theirs.close()
        os._exit(0)
    theirs.close()
    try:
        return ours.recv()
    finally:
        os.waitpid(child, 0)


def resident(entry: str) -> float:
    """A line of /proc/self/status in MiB."""
    lines = Path("/proc/self/status").read_text(encoding="utf-8").splitlines()
    return next(int(line.split()[1]) / 1024 for line in lines if line.startswith(entry + ":"))


def quality(concepts: list[str], steps: int, last_steps: list[int]) -> None:
    """Print scores and shares on held-out seeds after `steps` steps; checkpointing doesn't change them."""
    generator = shipped(num_inference_steps=N_STEPS)
    net, checker = load_shapes_concepts(device="cpu"), load_shapes_checker(device="cpu")
    print(f"shipped generator at {N_STEPS} steps, {steps} steps of the optimisation, 50 held-out seeds")
    print("| concept | K of 4 | logit | shown (checker) | seconds a step |\n|---|---|---|---|---|", flush=True)
    for name in concepts:
        for k in last_steps:
            prompt = SoftPrompt(generator, restarts=1)
            objective = class_logit(net, net.concept_names.index(name))
            start = time.process_time()
            for step in optimize_prompt(prompt, objective, steps=steps, last_steps=k, batch=4, held_out_seeds=8):
                best = step.best
            seconds = (time.process_time() - start) / steps
            seeds = report_seeds(0, 50)
            images = prompt.images(best, seeds)
            score = net.predict(images)[:, net.concept_names.index(name)].mean()
            found = (checker.predict(images)[:, checker.concept_names.index(name)] > 0).mean()
            print(f"| {name} | {k} | {score:.2f} | {found:.2f} | {seconds:.2f} |", flush=True)


def classes(concepts: list[str] | None, steps: int | None) -> None:
    """Print, for each concept, how often the prompt found by default settings shows it on 100 held-out seeds."""
    generator = shipped()
    net, checker = load_shapes_concepts(device="cpu"), load_shapes_checker(device="cpu")
    seeds = report_seeds(0, 100)
    print("| concept | logit | net sees it | checker sees it | checker, start | CPU s | wall s |")
    print("|---|---|---|---|---|---|---|", flush=True)
    for name in concepts or net.concept_names:
        prompt = SoftPrompt(generator)
        seen = checker.concept_names.index(name)
        before = (checker.predict(prompt.images(prompt.state(), seeds))[:, seen] > 0).mean()
        start, clock = time.process_time(), time.perf_counter()
        objective = class_logit(net, net.concept_names.index(name))
        for step in optimize_prompt(prompt, objective, steps=steps or STEPS):
            best = step.best
        seconds, wall = time.process_time() - start, time.perf_counter() - clock
        images = prompt.images(best, seeds)
        logits = net.predict(images)[:, net.concept_names.index(name)]
        score, own = logits.mean(), (logits > 0).mean()
        other = (checker.predict(images)[:, seen] > 0).mean()
        shares = f"{own:.2f} | {other:.2f} | {before:.2f}"
        print(f"| {name} | {score:.2f} | {shares} | {seconds:.0f} | {wall:.0f} |", flush=True)


def shipped(**options: Any) -> DiffusersGenerator:
    """The generator that comes with genlens."""
    return DiffusersGenerator.from_pretrained(
        str(files("genlens").joinpath("assets", "shapes_generator")), device="cpu", **options
    )


def tiny_diffusion(side: int) -> Any:
    """A pipeline of Stable Diffusion's shape, with random weights."""
    from diffusers import AutoencoderKL, DDIMScheduler, StableDiffusionPipeline, UNet2DConditionModel
    from tokenizers import Tokenizer, models, pre_tokenizers, processors
    from transformers import CLIPTextConfig, CLIPTextModel, PreTrainedTokenizerFast

    torch.manual_seed(0)
    special = ["<start>", "<end>", "<unknown>"]
    backend = Tokenizer(models.WordLevel({w: i for i, w in enumerate(special + WORDS)}, unk_token="<unknown>"))
    backend.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    backend.post_processor = processors.TemplateProcessing(
        single="<start> $A <end>", special_tokens=[("<start>", 0), ("<end>", 1)]
    )
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=backend, bos_token="<start>", eos_token="<end>", pad_token="<end>", unk_token="<unknown>",
        model_max_length=16,
    )  # fmt: skip
    text = CLIPTextConfig(
        vocab_size=len(WORDS) + 3, hidden_size=64, intermediate_size=128, num_hidden_layers=2, num_attention_heads=4,
        max_position_embeddings=16, bos_token_id=0, eos_token_id=1, pad_token_id=1,
    )  # fmt: skip
    unet = UNet2DConditionModel(
        block_out_channels=(32, 64), layers_per_block=2, sample_size=side // 8, in_channels=4, out_channels=4,
        down_block_types=("CrossAttnDownBlock2D", "DownBlock2D"), up_block_types=("UpBlock2D", "CrossAttnUpBlock2D"),
        cross_attention_dim=64, attention_head_dim=8, norm_num_groups=8,
    )  # fmt: skip
    vae = AutoencoderKL(
        block_out_channels=(8, 16, 16, 16), down_block_types=("DownEncoderBlock2D",) * 4,
        up_block_types=("UpDecoderBlock2D",) * 4, latent_channels=4, norm_num_groups=4, sample_size=side,
    )  # fmt: skip
    scheduler = DDIMScheduler(beta_start=0.00085, beta_end=0.012, beta_schedule="scaled_linear", clip_sample=False)
    with quiet():
        return StableDiffusionPipeline(
            vae=vae, text_encoder=CLIPTextModel(text).eval(), tokenizer=tokenizer, unet=unet, scheduler=scheduler,
            safety_checker=None, feature_extractor=None, requires_safety_checker=False,
        )  # fmt: skip


if __name__ == "__main__":
    main()
