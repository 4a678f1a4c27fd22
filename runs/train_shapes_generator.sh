#!/usr/bin/env bash
# Trains the shipped text-to-image diffusion model of the shapes data set on CPUs, from nothing: judge, autoencoder,
# text encoder, denoiser, sharper decoder; then packs the pipeline and measures its quality card.
# About two hours on two free cores. A killed denoiser goes on with RESUME=--resume and the stages before it left out:
#   RESUME=--resume STAGES="denoiser decoder export" runs/train_shapes_generator.sh
# Usage: runs/train_shapes_generator.sh [PIPELINE_DIRECTORY]   (default: src/genlens/assets/shapes_generator)
set -euo pipefail
cd "$(dirname "$0")/.."
to="${1:-src/genlens/assets/shapes_generator}"
python="${PYTHON:-.venv/bin/python}"
out="${OUT:-build/shapes_generator}"
stages="${STAGES:-judge vae text denoiser decoder export}"
export PYTHONPATH=src
declare -A seconds=([vae]=480 [text]=420 [denoiser]=4800 [decoder]=600 [export]=0)
for stage in $stages; do
    if [ "$stage" = judge ]; then
        "$python" -m genlens.training.shapes_judge --out src/genlens/assets/shapes_judge --seconds 150
        continue
    fi
    resume=""
    [ "$stage" = denoiser ] && resume="${RESUME:-}"
    "$python" -m genlens.training.shapes_generator "$stage" --out "$out" --to "$to" --seconds "${seconds[$stage]}" $resume
done
PYTHON="$python" runs/quality_card.sh "$to"
