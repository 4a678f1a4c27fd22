"""How many threads: the shipped generator and concept net on one and two, on an idle machine and on a busy one.

    python benchmarks/threads.py          # about a minute

The busy machine has as many other processes that compute without a pause as it has cores. Every cell is a process of
its own, since the number of threads and how they wait (OMP_WAIT_POLICY) are fixed when torch starts.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
from itertools import product

CELL = """
import json, sys, time, torch
from genlens.classifiers.bundled import load_shapes_concepts
from genlens.cli.loading import load_generator
torch.set_num_threads(int(sys.argv[1]))
generator, net = load_generator("shapes"), load_shapes_concepts()
captions = [f"red circle ({i % 50 + 7}, 30) 9, blue rectangle (40, {i % 40 + 9}) 8 6" for i in range(32)]
seeds = list(range(32))
images = generator.generate(captions, seeds)
def rate(call):
    call()
    began, n = time.perf_counter(), 0
    while time.perf_counter() - began < float(sys.argv[2]):
        call()
        n += 32
    return n / (time.perf_counter() - began)
print(json.dumps([rate(lambda: generator.generate(captions, seeds)), rate(lambda: net.predict(images))]))
"""
BUSY = "while True: sum(i * i for i in range(10000))"


def rates(threads: int, policy: str, seconds: float) -> list[float]:
    """Images a second of the generator and of the concept net."""
    environment = {**os.environ, "OMP_NUM_THREADS": str(threads)}
    environment.pop("OMP_WAIT_POLICY", None)
    if policy:
        environment["OMP_WAIT_POLICY"] = policy
    command = [sys.executable, "-c", CELL, str(threads), str(seconds)]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    return list(json.loads(done.stdout.splitlines()[-1]))


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=2.0, help="of each measurement")
    chosen = parser.parse_args()
    cores = os.cpu_count() or 1
    print(f"{cores} cores; images/s")
    print("| machine | waiting threads | threads | generator | concept net |")
    print("|---|---|---|---|---|")
    for busy in (False, True):
        others = [subprocess.Popen([sys.executable, "-c", BUSY]) for _ in range(cores if busy else 0)]
        try:
            for policy, threads in product(("PASSIVE", ""), sorted({1, cores})):
                generator, net = rates(threads, policy, chosen.seconds)
                name = "busy" if busy else "idle"
                waiting = policy.lower() or "default"
                print(f"| {name} | {waiting} | {threads} | {generator:.0f} | {net:.0f} |", flush=True)
        finally:
            for process in others:
                process.kill()
                process.wait()


if __name__ == "__main__":
    main()
