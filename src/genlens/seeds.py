"""One run seed -> seeds for rows and draws, the same in every process and on every machine.

A seed is a hash of the row's id, not of its position, so it survives dropped, added and reordered rows. By default it
doesn't depend on the state of a concept: a row keeps its noise when a concept is switched (common noise), so the
difference between two states isn't drowned in generation noise. Seeds of different rows are independent, as the
bootstrap over rows needs.
"""

from __future__ import annotations

from hashlib import blake2b

from genlens.errors import check_integer


def row_seed(run_seed: int, row_id: str, draw: int = 0, state: str = "") -> int:
    """Seed of one image: a hash of all fields, in [0, 2**63).

    Args:
        run_seed: the run's seed, an integer >= 0.
        row_id: the row's unique id, such as its file name.
        draw: number of the noise draw, >= 0.
        state: "" for common noise; any other text gives that state of the row noise of its own.

    Raises:
        UserError: `run_seed` or `draw` isn't an integer >= 0.
    """
    fields = (str(check_integer("seed", run_seed, 0)), row_id, str(check_integer("draw", draw, 0)), state)
    encoded = [field.encode("utf-8", "surrogatepass") for field in fields]
    digest = blake2b(b"".join(b"%d:%b" % (len(field), field) for field in encoded), digest_size=8, person=b"genlens")
    return int.from_bytes(digest.digest(), "big") >> 1
