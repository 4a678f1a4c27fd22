#!/usr/bin/env bash
# Trains the two shipped concept nets of the shapes data set and measures them: a few minutes on two cores.
# Writes weights, config, CARD.md and quality.json; a line every 100 steps goes to train.log beside them.
# Usage: runs/train_shapes_concepts.sh [OUT]   (default: src/genlens/assets)
set -euo pipefail
cd "$(dirname "$0")/.."
out="${1:-src/genlens/assets}"
python="${PYTHON:-.venv/bin/python}"
export PYTHONPATH=src
for net in shapes_concepts shapes_checker; do
    mkdir -p "$out/$net"
    "$python" -m genlens.training.shapes_concepts "$out/$net" "$net" | tee "$out/$net/train.log"
done
