#!/usr/bin/env bash
# Fine-tunes a scenes generator whose training was stopped early, on scenes of the data set, and prints both quality
# cards: of the base and of the result, rendered in the same number of steps from held-out captions. Takes about ten
# minutes on one core. The base's noise was tied to its pictures; here it is drawn anew, and only lower noise is trained
# at, so that the tie is kept. 150 steps are not enough to beat the base.
#     runs/finetune_scenes.sh BASE [OUT]
# BASE: an early stage of the scenes generator, as `python -m genlens.training.scenes_generator export` packs it.
set -euo pipefail
base=$1 out=${2:-build/finetune_scenes}
mkdir -p "$out"
cat > "$out/judge.py" <<'PYTHON'
from pathlib import Path

import genlens
from genlens.classifiers.concept_net import ConceptNet


def judge():
    return ConceptNet.load(Path(genlens.__file__).parent / "assets" / "scenes_concepts")
PYTHON

[ -d "$out/data" ] || genlens data scenes "$out/data" --n 3000 --split train --seed 11
genlens train-generator "$out/data" --base "$base" --out "$out/training" \
    --concepts "tshirt,trouser,pullover,dress,coat,sandal,shirt,sneaker,bag,boot" \
    --steps "${STEPS:-150}" --batch-size 32 --rate "${RATE:-5e-4}" --ema 0.97 --caption-dropout 0 \
    --times "${TIMES:-0,0.8}" --render-steps "${RENDER:-4}" --held-out 200 --checkpoint-every 15 --threads 1 \
    --precision bf16 --concept-classifier "$out/judge.py:judge"
