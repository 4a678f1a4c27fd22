"""Scene labels for COCO photographs where no Places365 model is at hand: a stand-in, to try the protocol.

    python examples/coco_scene_standin.py instances_train2017.json instances_val2017.json --out scenes.csv

The paper takes the top-1 category of a Places365 network. Here a scene follows from what else COCO's annotators marked,
categories outside the protocol's 15 concepts, so labels are not what a network would say and the figures mean little.
The result has the columns file_name and category; with `--hierarchy-out` the file that joins categories and scenes.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import pandas as pd

from genlens.datasets.coco import read_instances

RULES = {
    "sports and leisure": {"frisbee", "skis", "snowboard", "sports ball", "kite", "baseball bat", "baseball glove",
                           "skateboard", "surfboard", "tennis racket"},
    "transportation": {"bicycle", "car", "motorcycle", "airplane", "bus", "train", "truck", "boat", "traffic light"},
    "workplace": {"mouse", "keyboard"},
    "shopping and dining": {"pizza", "cake", "donut", "sandwich", "hot dog", "wine glass", "fork", "knife", "spoon"},
    "home or hotel": {"toilet", "microwave", "refrigerator", "toaster", "hair drier", "toothbrush", "teddy bear",
                      "potted plant", "vase", "cat", "dog"},
    "cultural": {"elephant", "giraffe", "zebra", "tie", "umbrella", "clock"},
}  # fmt: skip
"""Scene -> categories that stand for it; the first scene with one of them counts."""


def main() -> None:
    """Write the csv files."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("instances", type=Path, nargs="+")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--hierarchy-out", type=Path, required=True)
    options = parser.parse_args()
    rows = []
    for path in options.instances:
        counts = read_instances(path).counts()
        for name, *values in counts.itertuples(index=False):
            there = {category for category, count in zip(counts.columns[1:], values, strict=True) if count}
            rows.append((name, next((scene for scene, marks in RULES.items() if there & marks), "other")))
    pd.DataFrame(rows, columns=["file_name", "category"]).to_csv(options.out, index=False)
    pairs = [*((scene, scene) for scene in RULES), ("other", "")]
    pd.DataFrame(pairs, columns=["category", "scene"]).to_csv(options.hierarchy_out, index=False)
    print(pd.Series([scene for _, scene in rows]).value_counts().to_string())


if __name__ == "__main__":
    main()
