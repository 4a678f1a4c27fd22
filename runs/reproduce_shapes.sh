#!/usr/bin/env bash
# The paper's synthetic experiment, and its open questions, with what is shipped: under 30 minutes on two cores.
# A run that was stopped goes on. Copies the tables into RESULTS.md (section "shapes") and the figures below docs/.
# Usage: runs/reproduce_shapes.sh [OUT]   (default: build/reproduce-shapes)
set -euo pipefail
cd "$(dirname "$0")/.."
out="${1:-build/reproduce-shapes}"
python="${PYTHON:-.venv/bin/python}"
PYTHONPATH=src "$python" -m genlens reproduce shapes --out "$out"
mkdir -p docs/results/shapes
cp "$out"/figures/*.png docs/results/shapes/
"$python" - "$out/results.md" <<'PYTHON'
import re
import sys
from pathlib import Path

text = Path(sys.argv[1]).read_text(encoding="utf-8").replace("](figures/", "](docs/results/shapes/")
page = Path("RESULTS.md")
old = page.read_text(encoding="utf-8") if page.exists() else "# Results\n\n"
kept = re.sub(r"^## shapes\n.*?(?=^## |\Z)", "", old, flags=re.M | re.S).rstrip("\n")
page.write_text(f"{kept}\n\n## shapes\n\n{text}", encoding="utf-8")
PYTHON
