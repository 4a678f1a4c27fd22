#!/usr/bin/env bash
# Trains the shipped segmenter, a tiny CLIPSeg, and measures it: about 20 minutes on one idle core. The same command goes
# on where it was stopped. Writes weights, tokenizer, recipe.json, CARD.md and quality.json.
# Usage: runs/train_segmenter.sh [OUT]   (default: src/genlens/assets/shapes_segmenter)
set -euo pipefail
cd "$(dirname "$0")/.."
out="${1:-src/genlens/assets/shapes_segmenter}"
python="${PYTHON:-.venv/bin/python}"
export PYTHONPATH=src TOKENIZERS_PARALLELISM=false
mkdir -p "$out"
"$python" -m genlens.training.segmenter "$out" --worlds shapes --vision-steps 2400 --decoder-steps 500 --batch 24 \
    | tee -a "$out/train.log"
"$python" -m genlens.training.segmenter_quality "$out" --generator src/genlens/assets/shapes_generator
