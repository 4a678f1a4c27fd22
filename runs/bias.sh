#!/usr/bin/env bash
# Bias found against bias planted: 36 classifiers at five strengths, 20 of them without any; RESULTS.md has what it prints.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
python benchmarks/bias.py --out "${1:-build/bias}"
