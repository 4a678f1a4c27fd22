#!/usr/bin/env bash
# Measures the shipped shapes generator with the judge on 1,000 held-out captions a template and writes quality.json
# beside its weights: concept AUROC, flips shown, other concepts that stay, at 1, 2, 4 and 8 steps. About 15 minutes.
# Usage: runs/quality_card.sh [PIPELINE_DIRECTORY]   (default: src/genlens/assets/shapes_generator)
set -euo pipefail
cd "$(dirname "$0")/.."
pipeline="${1:-src/genlens/assets/shapes_generator}"
PYTHONPATH=src "${PYTHON:-.venv/bin/python}" -m genlens.training.quality "$pipeline" \
    --rows 1000 --more-rows 200 --steps 1 2 4 8 --out "$pipeline/quality.json"
