"""Where a soft prompt starts from words: found by a search over captions, tried as the soft prompt will have them.

From random tokens the optimisation often ends in a local optimum: a picture that shows little has nearly no gradient.
Words that were scored are on the right hill already, and what they show is more likely to be what other classifiers
see as well.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from genlens.errors import UserError
from genlens.prompts.objectives import Objective
from genlens.prompts.optimize import held_out_scores
from genlens.prompts.soft import PromptState, SoftPrompt

TRIED = 8
"""Texts that are tried as starts, the best of a search."""


def start_from_words(
    prompt: SoftPrompt, objective: Objective, texts: Sequence[str], seeds: Sequence[int], count: int | None = None
) -> tuple[str, ...]:
    """Give restarts the best of texts: a text fills the free tokens, repeated where it is shorter, and is scored so.

    Args:
        prompt: changed in place; restarts beyond the texts that fit stay as they are.
        objective: scores pictures.
        texts: the words of captions without the template, the most promising first; the first `TRIED` that fit count.
        seeds: on which they are compared: not those of the held-out choice or of a report.
        count: restarts that start from words; None: all.

    Returns:
        The texts of the restarts, best first; empty where none fits, because it has more tokens than are free or words
        that the tokenizer doesn't know.
    """
    found: list[tuple[float, str, PromptState]] = []
    for text in dict.fromkeys(texts):
        if len(found) == TRIED:
            break
        try:
            state = prompt.state_of(text)
        except UserError:  # too long, or unknown to the tokenizer
            continue
        score = float(held_out_scores(prompt, state, objective, seeds).mean())
        if np.isfinite(score):
            found.append((score, text, state))
    best = sorted(found, key=lambda one: -one[0])[: prompt.restarts if count is None else count]
    for restart, (_, _, state) in enumerate(best):
        prompt.set_state(state, restart)
    return tuple(text for _, text, _ in best)
