"""Hard prompts: captions of real words that maximise an objective, found with its gradient.

Three ways. **Projection** (PEZ; Wen et al. 2023, arXiv 2302.03668): continuous embeddings are projected to the nearest
words, the gradient is taken there and applied to the continuous ones. **Gumbel-softmax** over the words, straight
through, temperature 1, as in DEXTER (arXiv 2510.14741). **Coordinate search** (GCG; Zou et al. 2023, arXiv 2307.15043):
the gradient at a place proposes words for it, and their true scores on fixed seeds decide.

The first two only propose captions; what they saw during the search is on other seeds each step, so the caller scores
the proposals on common ones.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from genlens.prompts.caption_gradient import CaptionGradient
from genlens.seeds import row_seed

Words = tuple[int, ...]
"""Numbers of words in the vocabulary, in the caption's order."""
RATE = 3.0
"""Rate of PEZ, in standard deviations of the embeddings; large, as in its paper, since only the nearest word counts."""
GUMBEL_RATE = 0.3
TEMPERATURE = 1.0


def pez(
    gradient: CaptionGradient, group: Sequence[int], n_words: int, *, steps: int, seed: int, batch: int = 4
) -> list[Words]:
    """Captions that projected gradient descent went through, best mean score first.

    Args:
        gradient: of the objective.
        group: words of equal length to choose from.
        n_words: words of the caption.
        steps: gradient steps.
        seed: of the start and of the noise.
        batch: images a step.
    """
    tables = gradient.tables(group)  # (V, L, C) each
    rng = np.random.default_rng([seed, 1])
    start = torch.from_numpy(rng.integers(0, len(group), n_words)).to(tables[0].device)
    soft = [table[start].float().clone().requires_grad_() for table in tables]  # (n, L, C)
    parts = [{"params": [one], "lr": RATE * float(table.std())} for one, table in zip(soft, tables, strict=True)]
    optimizer = torch.optim.AdamW(parts, weight_decay=0.0)
    seen: dict[Words, list[float]] = {}
    for step in range(steps):
        nearest = _nearest(soft, tables)
        hard = [table[nearest].clone().requires_grad_() for table in tables]
        words = tuple(group[i] for i in nearest.tolist())
        score = gradient.score(gradient.layout(words), [_rows(one) for one in hard], _seeds(seed, "pez", step, batch))
        if not torch.isfinite(score):
            break
        (-score).backward()
        for one, other in zip(soft, hard, strict=True):
            one.grad = None if other.grad is None else other.grad.float()
        optimizer.step()
        seen.setdefault(words, []).append(float(score.detach()))
    return _ordered(seen)


def gumbel(
    gradient: CaptionGradient, group: Sequence[int], n_words: int, *, steps: int, seed: int, batch: int = 4
) -> list[Words]:
    """Captions that Gumbel-softmax drew: the most probable one at the end, then the others by their mean score.

    Args:
        gradient: of the objective.
        group: words of equal length to choose from.
        n_words: words of the caption.
        steps: gradient steps.
        seed: of the draws and of the noise.
        batch: images a step.
    """
    tables = gradient.tables(group)  # (V, L, C) each
    device = tables[0].device
    logits = torch.zeros(n_words, len(group), device=device, requires_grad=True)
    optimizer = torch.optim.AdamW([logits], lr=GUMBEL_RATE, weight_decay=0.0)
    draws = torch.Generator().manual_seed(row_seed(seed, "gumbel draws"))
    seen: dict[Words, list[float]] = {}
    for step in range(steps):
        uniform = torch.rand(logits.shape, generator=draws).clamp(1e-9, 1 - 1e-7).to(device)
        soft = ((logits - (-uniform.log()).log()) / TEMPERATURE).softmax(1)  # (n, V)
        index = soft.argmax(1)
        hard = functional.one_hot(index, len(group)) - soft.detach() + soft  # one word each, the gradient of `soft`
        words = tuple(group[i] for i in index.tolist())
        values = [_rows(torch.einsum("nv,vlc->nlc", hard, table.float())) for table in tables]
        score = gradient.score(gradient.layout(words), values, _seeds(seed, "gumbel", step, batch))
        if not torch.isfinite(score):
            break
        optimizer.zero_grad()
        (-score).backward()
        optimizer.step()
        seen.setdefault(words, []).append(float(score.detach()))
    likely = tuple(group[i] for i in logits.argmax(1).tolist())
    return [likely, *(words for words in _ordered(seen) if words != likely)]


def coordinate(
    gradient: CaptionGradient,
    start: Words,
    true_score: Callable[[Words], float],
    *,
    steps: int,
    seed: int,
    width: int = 16,
    patience: int = 3,
    batch: int = 4,
) -> list[Words]:
    """Captions from coordinate search, best true score first.

    Args:
        gradient: of the objective.
        start: words of the first caption.
        true_score: mean score of a caption on fixed seeds.
        steps: most rounds.
        seed: of the noise and of the draw among the proposals.
        width: captions whose true score is taken in each round: half are the best by the gradient, half are drawn from
            four times as many.
        patience: rounds without an improvement after which the search ends.
        batch: images a gradient is taken over.
    """
    rng = np.random.default_rng([seed, 2])
    best, idle = start, 0
    scored = {start: true_score(start)}
    for step in range(steps):
        gains = gradient.gains(best, _seeds(seed, "coordinate", step, batch))  # (n, V)
        for words in _proposals(best, gains.numpy(), width, rng):
            if words not in scored:
                scored[words] = true_score(words)
        top = max(scored, key=scored.__getitem__)
        idle = 0 if top != best else idle + 1
        best = top
        if idle >= patience:
            break
    return sorted(scored, key=lambda words: -scored[words])


def shortlist(gradient: CaptionGradient, size: int, *, contexts: int, seed: int, batch: int = 4) -> list[int]:
    """Words that the gradient expects most of on their own: averaged over captions of one random word each.

    Args:
        gradient: of the objective.
        size: words wanted.
        contexts: captions.
        seed: of the captions and of the noise.
        batch: images a caption.
    """
    n = len(gradient.vocabulary.words)
    rng = np.random.default_rng([seed, 3])
    total = np.zeros(n)
    for k in range(contexts):
        word = int(rng.integers(n))
        total += gradient.gains((word,), _seeds(seed, "shortlist", k, batch))[0].numpy()
    return [int(i) for i in np.argsort(-total, kind="stable")[:size]]


def _proposals(best: Words, gains: np.ndarray, width: int, rng: np.random.Generator) -> list[Words]:
    """Captions with one word of `best` replaced."""
    gains = gains.copy()
    gains[np.arange(len(best)), list(best)] = -np.inf
    order = np.argsort(-gains, axis=None, kind="stable")[: 4 * width]
    order = order[np.isfinite(gains.ravel()[order])]
    sure, rest = order[: width // 2], order[width // 2 :]
    drawn = rng.choice(rest, min(width - width // 2, len(rest)), replace=False) if len(rest) else rest
    found = []
    for flat in (*sure, *drawn):
        place, word = divmod(int(flat), gains.shape[1])
        found.append((*best[:place], word, *best[place + 1 :]))
    return found


def _nearest(soft: Sequence[Tensor], tables: Sequence[Tensor]) -> Tensor:
    """The word nearest to each place by cosine, averaged over the encoders: (n,)."""
    total: Tensor | None = None
    for one, table in zip(soft, tables, strict=True):
        near = functional.normalize(one.detach().flatten(1), dim=1)
        near = near @ functional.normalize(table.float().flatten(1), dim=1).T  # (n, V)
        total = near if total is None else total + near
    if total is None:
        raise ValueError("a generator has at least one encoder")
    return total.argmax(1)


def _rows(value: Tensor) -> Tensor:
    """(n, L, C) -> (n L, C)."""
    return value.flatten(0, 1)


def _seeds(seed: int, purpose: str, step: int, batch: int) -> list[int]:
    return [row_seed(seed, f"words {purpose} {step}", draw) for draw in range(batch)]


def _ordered(seen: dict[Words, list[float]]) -> list[Words]:
    means = {words: float(np.mean(scores)) for words, scores in seen.items()}
    return sorted(means, key=lambda words: -means[words])
