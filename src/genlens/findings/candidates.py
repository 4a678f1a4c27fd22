"""From findings to candidate concepts: words with masks, for annotation and then `genlens rank`."""

from __future__ import annotations

import io
import re
from pathlib import Path

import numpy as np

from genlens.files import write_atomic
from genlens.findings.spurious_types import Finding, SeenWord, SpuriousResult
from genlens.prompts.candidates import CANDIDATES_FILE, Candidate, write_candidates
from genlens.segmenters.presence import Presence
from genlens.segmenters.protocol import Segmenter

MIN_EXCESS = 0.2
"""How much more often than in unoptimised pictures a word must be seen to become a candidate."""
_PICTURES = 8


def candidate_words(result: SpuriousResult, min_excess: float = MIN_EXCESS) -> list[tuple[SeenWord, Finding]]:
    """What the pictures of features that aren't core show, each word with the feature it raises most; best first.

    What is beside an object that carries its feature is chance, so words of core features don't count.
    """
    found: dict[str, tuple[SeenWord, Finding]] = {}
    for finding in result.findings:
        for word in finding.words if finding.verdict != "core" else ():
            if word.share - word.plain < min_excess or word.gain <= 0:
                continue
            known = found.get(word.word)
            if known is None or _weight(word, finding) > _weight(*known):
                found[word.word] = (word, finding)
    return sorted(found.values(), key=lambda entry: -_weight(*entry))


def _weight(word: SeenWord, finding: Finding) -> float:
    """How much the word raises the class's output through the feature."""
    return word.gain * finding.feature.weight


def save_candidates(result: SpuriousResult, segmenter: Segmenter, presence: Presence, folder: Path) -> list[Candidate]:
    """Write candidates.json and, for each candidate, pictures with masks: candidates/WORD/0.png, 0-mask.png, ….

    Args:
        result: the findings.
        segmenter: marks the words.
        presence: from which probability a pixel counts.
        folder: of the run.

    Returns:
        The candidates, best first.
    """
    from PIL import Image

    listed = []
    images = {f.feature.index: e.images for f, e in zip(result.findings, result.evidence, strict=True)}
    for word, finding in candidate_words(result):
        target = f"class {result.target.index} ({result.target.name}), neural feature {finding.feature.index}"
        listed.append(Candidate(word.word, word.word, target, "spurious", word.gain, word.low, word.high))
        shown = images[finding.feature.index][:_PICTURES]
        masks = segmenter.segment(shown, word.word) >= presence.threshold
        for i, (image, mask) in enumerate(zip(shown, masks, strict=True)):
            for name, pixels in ((f"{i}.png", image), (f"{i}-mask.png", mask.astype(np.uint8) * 255)):
                buffer = io.BytesIO()
                Image.fromarray(pixels).save(buffer, "png")
                place = folder / "candidates" / re.sub(r"\W+", "_", word.word)
                write_atomic(place / name, buffer.getvalue(), durable=False)
    write_candidates(folder / CANDIDATES_FILE, listed)
    return listed
