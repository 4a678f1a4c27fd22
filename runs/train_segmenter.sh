#!/usr/bin/env bash
# Trains a shipped segmenter, a tiny CLIPSeg, and measures it: shapes about 20 minutes on one idle core, scenes an hour and
# a half on one that was shared with other work. The same command goes on where it was stopped. Writes weights, tokenizer,
# recipe.json, CARD.md and quality.json.
# Usage: runs/train_segmenter.sh [shapes|scenes] [OUT]   (default: shapes, src/genlens/assets/WORLD_segmenter)
set -euo pipefail
cd "$(dirname "$0")/.."
world="${1:-shapes}" out="${2:-src/genlens/assets/${1:-shapes}_segmenter}"
python="${PYTHON:-.venv/bin/python}"
export PYTHONPATH=src TOKENIZERS_PARALLELISM=false
mkdir -p "$out"
train() { "$python" -m genlens.training.segmenter "$@" --worlds "$world" --batch 24 | tee -a "$out/train.log"; }
if [ "$world" = shapes ]; then
    train "$out" --vision-steps 2400 --decoder-steps 500
    "$python" -m genlens.training.segmenter_quality "$out" --generator src/genlens/assets/shapes_generator
else
    [ -f "$out/first/config.json" ] || train "$out/first" --vision-steps 6000 --decoder-steps 2000
    train "$out" --start-from "$out/first" --vision-steps 6000 --decoder-steps 2500
    "$python" -m genlens.training.segmenter_quality "$out"
    rm -r "$out/first"
fi
