#!/usr/bin/env bash
# A scenes generator whose training was short is fine-tuned on another look, pages of a catalogue (one thing of a class,
# each class in its own place), then distilled to few steps. Prints quality cards on held-out captions, by a judge that no
# generator was trained with, for base, result and distilled result at 1, 2, 4 and 8 steps. About an hour on one core;
# the same command again goes on where it stopped.
#     runs/finetune_scenes.sh [OUT]
# The same where captions leave open where things are, and without distillation:
#     LAYOUT=anywhere DISTILL_STEPS=0 BASE=build/finetune_scenes/base runs/finetune_scenes.sh build/finetune_anywhere
set -euo pipefail
cd "$(dirname "$0")/.."
out=${1:-build/finetune_scenes}
base=${BASE:-$out/base}
distill_steps=${DISTILL_STEPS:-250}
python="${PYTHON:-.venv/bin/python}"
export PYTHONPATH=src OMP_NUM_THREADS="${OMP_NUM_THREADS:-1}"
concepts="tshirt,trouser,pullover,dress,coat,sandal,shirt,sneaker,bag,boot"
mkdir -p "$out"
cat > "$out/judge.py" <<'PYTHON'
from pathlib import Path

import genlens
from genlens.classifiers.concept_net import ConceptNet


def judge():
    return ConceptNet.load(Path(genlens.__file__).parent / "assets" / "scenes_judge", device="cpu")
PYTHON

# The base: eight minutes of the shipped generator's recipe, with its autoencoder and text encoder.
if [ ! -f "$base/model_index.json" ]; then
    mkdir -p "$out/stages"
    cp -r src/genlens/assets/scenes_generator/{vae,text_encoder,tokenizer} "$out/stages"
    "$python" -m genlens.training.scenes_generator denoiser --out "$out/stages" \
        --seconds "${BASE_SECONDS:-480}" --workers 1 --threads 1
    "$python" -m genlens.training.scenes_generator export --out "$out/stages" --to "$base"
fi
[ -f "$out/data/metadata.csv" ] ||
    "$python" -m genlens data scenes "$out/data" --n 6000 --seed 11 --layout "${LAYOUT:-page}"
"$python" -m genlens train-generator "$out/data" --base "$base" --out "$out/training" --concepts "$concepts" \
    --steps "${STEPS:-1500}" --batch-size 64 --rate 1e-3 --schedule cosine --warmup 50 --ema 0.998 \
    --caption-dropout 0.1 --precision bf16 --threads 1 --checkpoint-every 100 --render-steps 8 --render-guidance 1 \
    --held-out 400 --concept-classifier "$out/judge.py:judge"
pipelines=("base=$base" "tuned=$out/training/pipeline")
if [ "$distill_steps" -gt 0 ]; then
    "$python" -m genlens train-generator "$out/data" --base "$out/training/pipeline" --out "$out/distilled" \
        --concepts "$concepts" --steps 0 --distill --distill-steps "$distill_steps" --few-steps 2 \
        --teacher-guidance 1 --batch-size 64 --rate 3e-4 --schedule cosine --warmup 20 --ema 0.99 --high-noise 0.2 \
        --precision bf16 --threads 1 --checkpoint-every 50 --held-out 400 --concept-classifier "$out/judge.py:judge"
    pipelines+=("distilled=$out/distilled/distill/pipeline")
fi
"$python" benchmarks/distillation.py "$out/data" --teacher tuned --pipelines "${pipelines[@]}"
"$python" benchmarks/distillation.py "$out/data" --steps 1 --pipelines "shipped=src/genlens/assets/scenes_generator"
