#!/usr/bin/env bash
# The paper's experiment on COCO (arXiv 2407.14509, section 4.2) from the official files: data, a generator fine-tuned on
# the captions, 15 primary and 6 mixed scene models, DEPICT, its rivals, oracles and checks. Meant for a GPU:
#
#   COCO=/data/coco PLACES=places365.csv HIERARCHY=scene_hierarchy.csv BASE=stable-diffusion-v1-5/stable-diffusion-v1-5 \
#       SIZE=256 NET_STEPS=20000 FINETUNE="--steps 50000 --batch-size 16 --precision bf16" runs/coco.sh runs/coco
#
# COCO holds train2017, val2017 and instances_*.json (there or in annotations/); PLACES is a csv of file_name and category
# (top-1 of a Places365 model), HIERARCHY the sheet "Scene hierarchy - Places365" as csv. Give concept nets of your own
# with NET and CHECKER (as `--classifier` takes them).
#
# TINY=1 runs all of it on a laptop, with 200 photographs, an untrained tiny pipeline as BASE and scene labels that follow
# from COCO's other categories: it shows that everything works, and its figures mean nothing.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
export PATH="$PWD/.venv/bin:$PATH"
: "${COCO:?set it to the folder that holds train2017, val2017 and their instances_*.json}"
out="${1:-build/coco}"
mkdir -p "$out"
concepts=()
if [ -n "${TINY:-}" ]; then
    PLACES="$out/places.csv"
    HIERARCHY="$out/hierarchy.csv"
    python examples/coco_scene_standin.py "$COCO"/instances_*.json --out "$PLACES" --hierarchy-out "$HIERARCHY"
    concepts=(--concepts "person,bottle,cup,chair,dining table" --scene "sports and leisure" --lime-rows 4
        --lime-samples 60 --map-rows 20 --steps 4 --guidance 1)
    TEST_ROWS=50 NET_STEPS=150 FINETUNE="${FINETUNE:---steps 40 --batch-size 4 --held-out 8}"
fi
: "${PLACES:?set it to a csv with file_name and category, the top-1 category of a Places365 model}"
: "${HIERARCHY:?set it to the Places365 scene hierarchy as csv}"
if [ ! -d "$out/data" ]; then
    genlens data coco "$out/data.part" --coco "$COCO" --places "$PLACES" --hierarchy "$HIERARCHY" \
        --test-rows "${TEST_ROWS:-10000}"
    mv "$out/data.part" "$out/data"
fi
if [ -n "${TINY:-}" ] && [ ! -d "$out/base" ]; then
    python -m genlens.training.tiny_pipeline "$out/base" "$out"/data/*/metadata.csv
    BASE="$out/base"
fi
# shellcheck disable=SC2086  # FINETUNE is several options
genlens train-generator "$out/data/train" --caption-column caption --base "${BASE:-$out/base}" --out "$out/generator" ${FINETUNE:-}
genlens reproduce coco --out "$out/experiment" --data "$out/data" --generator "$out/generator/pipeline" --rows "${ROWS:-1000}" \
    --size "${SIZE:-64}" --net-steps "${NET_STEPS:-5000}" ${NET:+--net "$NET"} ${CHECKER:+--checker "$CHECKER"} \
    "${concepts[@]}"
