"""A shortcut that no table names: found, annotated, ranked, confirmed. A few minutes on two cores.

    python examples/discover.py --out runs/discover

A classifier of red, green and blue circles is trained on drawings in which a red rectangle tends to stand beside the
green circle. The table of concepts names the circles only.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from genlens.cli.loading import load_generator
from genlens.experiments.discover import discover
from genlens.findings.spurious_types import Settings
from genlens.segmenters import load_segmenter


def main() -> None:
    """Run it and print a line a step."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--rows", type=int, default=400)
    given = parser.parse_args()
    settings = Settings(n_images=24, n_calibration=60, restarts=2, steps=20)
    found = discover(given.out, load_generator("shapes"), load_segmenter("shapes"), rows=given.rows, settings=settings)
    first, *rest = found.ranking
    print(f"Found without the table: {found.name}. First in the ranking: {first}, before {', '.join(rest)}.")


if __name__ == "__main__":
    main()
