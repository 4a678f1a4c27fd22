#!/usr/bin/env bash
# Fine-tunes a shapes generator whose training was stopped early and prints both quality cards, of the base and of the
# result, on held-out captions with positions at one step. Takes about ten minutes on one core.
#     runs/finetune_shapes.sh [OUT]
set -euo pipefail
out=${1:-build/finetune_shapes}
base=${BASE:-build/snapshots/step-0180}

[ -d "$base" ] || python -m genlens.training.shapes_snapshots --out build/snapshots --steps 180
[ -d "$out/data" ] || genlens data shapes "$out/data" --n 3000 --seed 5
genlens train-generator "$out/data" --base "$base" --out "$out/training" \
    --concepts "red circle,green circle,blue circle,red rectangle,green rectangle,blue rectangle" \
    --steps "${STEPS:-120}" --batch-size 64 --rate 1e-3 --ema 0.95 --high-noise 0.6 --caption-dropout 0 --held-out 200 \
    --checkpoint-every 5 --threads 1 --concept-classifier bundled:shapes-checker
