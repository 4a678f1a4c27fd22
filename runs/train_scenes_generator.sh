#!/usr/bin/env bash
# Trains the shipped text-to-image diffusion model of scenes on CPUs, from nothing but the photographs of Fashion-MNIST
# (Debian: apt-get install dataset-fashion-mnist): two nets that measure, autoencoder, text encoder, decoder, denoiser,
# decoder again on what the denoiser gives; then packs the pipeline and measures its quality card.
# About two hours on two free cores. A killed denoiser goes on with RESUME=--resume and the stages before it left out:
#   RESUME=--resume STAGES="denoiser decoder export card" runs/train_scenes_generator.sh
# Usage: runs/train_scenes_generator.sh [PIPELINE_DIRECTORY]   (default: src/genlens/assets/scenes_generator)
set -euo pipefail
cd "$(dirname "$0")/.."
to="${1:-src/genlens/assets/scenes_generator}"
python="${PYTHON:-.venv/bin/python}"
out="${OUT:-build/scenes_generator}"
stages="${STAGES:-nets vae text decoder denoiser decoder export card}"
export PYTHONPATH=src OMP_WAIT_POLICY=passive
declare -A seconds=([vae]=0 [text]=240 [decoder]=900 [denoiser]=3600 [export]=0)
for stage in $stages; do
    case "$stage" in
        nets)
            for net in scenes_concepts scenes_judge; do
                mkdir -p "src/genlens/assets/$net"
                "$python" -m genlens.training.scenes_concepts "src/genlens/assets/$net" "$net" |
                    tee "src/genlens/assets/$net/train.log"
            done
            ;;
        card) "$python" -m genlens.training.scenes_quality "$to" --out "$to/quality.json" ;;
        *)
            resume=""
            [ "$stage" = denoiser ] && resume="${RESUME:-}"
            "$python" -m genlens.training.scenes_generator "$stage" --out "$out" --to "$to" \
                --seconds "${seconds[$stage]}" --workers 2 --threads 1 $resume
            ;;
    esac
done
