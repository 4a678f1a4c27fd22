"""The work of `find_spurious` on one class: pictures, prompts, evidence, verdicts."""

from __future__ import annotations

from collections.abc import MutableMapping

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.stats import t as student_t

from genlens.classifiers.fingerprint import hash_parts
from genlens.classifiers.gradients import PENULTIMATE, DifferentiableClassifier
from genlens.findings.erasing import erase_test, overlap, sensitivity_maps
from genlens.findings.evidence_files import as_kept, read_evidence, write_evidence
from genlens.findings.features import RankedFeature, feature_values
from genlens.findings.spurious_types import Evidence, Finding, SeenWord, Settings, Target
from genlens.findings.verdict import by_object, by_presence, mean_part, reasons
from genlens.progress import Progress
from genlens.prompts.objectives import Objective, class_log_probability, neural_feature, weighted
from genlens.prompts.optimize import optimize_prompt, report_seeds
from genlens.prompts.soft import PromptState, SoftPrompt
from genlens.prompts.word_starts import start_from_words
from genlens.run_folder import RunFolder
from genlens.seeds import row_seed
from genlens.segmenters.calibration import Calibration, Share, calibrate, corrected_share
from genlens.segmenters.presence import Presence
from genlens.segmenters.protocol import Segmenter

RESTART_IMAGES, WORD_IMAGES = 6, 6
"""Pictures of each restart (beside those of the best prompt), and of each word as a prompt."""
HELD_OUT = 6
EVALUATE_EVERY = 10


class Search:
    """What all features of a class share."""

    def __init__(
        self, model: DifferentiableClassifier, prompt: SoftPrompt, segmenter: Segmenter, target: Target,
        presence: Presence, how: Settings, words: tuple[str, ...], progress: Progress,
        pictures: MutableMapping[str, NDArray[np.uint8]], classifier: str,
    ) -> None:  # fmt: skip
        self.model, self.prompt, self.segmenter, self.target = model, prompt, segmenter, target
        self.presence, self.how, self.progress = presence, how, progress
        self._kept, self._classifier = pictures, classifier
        self.words = tuple(word for word in words if word != target.name)
        self._random = [prompt.state(restart) for restart in range(prompt.restarts)]
        self._seeds = report_seeds(how.seed, how.n_images)
        self._start_seeds = [row_seed(how.seed, f"spurious start {i}") for i in range(WORD_IMAGES)]
        self.generator = prompt.gradient_generator.generator

    def calibrate(self, given: Calibration | None) -> NDArray[np.uint8]:
        """Set `errors`, `baseline` and the shares in it; returns all that was rendered for it."""
        how, target = self.how, self.target
        shown = self._pictures([target.caption] * how.n_calibration, "with")
        other = [target.others[i % len(target.others)] for i in range(how.n_calibration)]
        rest = self._pictures(other, "without")
        self.errors = given or calibrate(self.segmenter, target.name, shown, rest, self.presence)
        plain = " ".join(self.prompt.template.replace("{}", " ").split())
        both = [self._rendered([caption] * how.n_images, self._seeds) for caption in (target.caption, plain)]
        self.baseline = (both[0], both[1])
        masks = [self.segmenter.segment(images, target.name) for images in both]
        self._class_solid = masks[0] >= self.presence.threshold
        self._class_share, self._plain_share = (self._share(self.presence.present(one)) for one in masks)
        self._plain_words = [self._see(self.baseline[1], word) for word in self.words]
        told = dict.fromkeys((*self.words, target.name))
        self._word_images = {word: self._pictures([word] * WORD_IMAGES, "word") for word in told}
        every = np.concatenate([shown, rest, *self.baseline, *self._word_images.values()])
        top = np.sort(feature_values(self.model, every), axis=0)[-max(1, len(every) // 10) :]
        self._scale = top.mean(axis=0)  # (F,)
        return every

    def evidence(self, feature: RankedFeature, folder: RunFolder | None) -> Evidence:
        """Optimise a prompt for the feature and measure its pictures; or read what an earlier process found."""
        path = None if folder is None else folder.path / "features" / f"{feature.index}.npz"
        if path is not None and path.exists():
            return read_evidence(path)
        images, ends = self._explained(feature)
        masks = as_kept(self.segmenter.segment(images, self.target.name))
        solid = masks >= self.presence.threshold
        tested = erase_test(self.model, feature.index, images, solid)
        named = erase_test(self.model, feature.index, self.baseline[0], self._class_solid)
        rows = [(self._values(some, feature).mean(), self._seen(some).mean()) for some in ends]
        class_values, plain_values = (self._values(one, feature) for one in self.baseline)
        top = tested.most(float(plain_values.mean()))
        found = Evidence(
            images, masks, tested.whole, tested.parts(), named.reach(top), np.array(rows), class_values, plain_values,
            look=overlap(sensitivity_maps(self.model, feature.index, images), solid),
            area=float(solid.mean(axis=(1, 2))[solid.any(axis=(1, 2))].mean()) if solid.any() else float("nan"),
        )  # fmt: skip
        if path is not None:
            write_evidence(path, found)
        return found

    def judge(self, feature: RankedFeature, found: Evidence) -> Finding:
        """The verdict on a feature."""
        how = self.how
        share = self._share(self.presence.present(found.masks))
        part = mean_part(found.parts, how.confidence, how.seed)
        reach = mean_part(found.reach, how.confidence, how.seed)
        presence = by_presence(share, how.threshold)
        carrying = by_object(part, reach, how.threshold)
        words = [
            SeenWord(word, self._see(found.images, word), plain, *self._gain(word, feature, found.plain_values))
            for word, plain in zip(self.words, self._plain_words, strict=True)
        ]
        active = part.n >= how.n_images / 2
        verdict = "undecided" if not active else carrying if how.rule == "part" else presence
        return Finding(
            feature, verdict, presence, share, part, reach, float(found.values.mean()),
            float(found.class_values.mean()), float(found.plain_values.mean()), self._class_share, self._plain_share,
            tuple((float(value), float(seen)) for value, seen in found.restarts),
            None if np.isnan(found.look) else found.look, None if np.isnan(found.area) else found.area,
            tuple(sorted(words, key=lambda one: one.plain - one.share)),
            reasons(share, part, reach, self._class_share.estimate, self._plain_share.estimate, how.threshold),
        )  # fmt: skip

    def _explained(self, feature: RankedFeature) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
        """Pictures of the best prompt, (n, H, W, 3), and of where each restart ended, (R, m, H, W, 3)."""
        how = self.how
        found = (how.n_images, how.restarts, how.steps, how.batch, how.n_tokens, how.class_weight, how.seed, self.words)
        key = hash_parts(
            "feature", self._classifier, self.generator.fingerprint, self.prompt.template, repr(self.target),
            str(feature.index), repr(found), str(how.n_calibration), "starts from words",
        )  # fmt: skip
        if key not in self._kept:
            best, ends = self._optimise(feature)
            some = self._seeds[:RESTART_IMAGES]
            shown = [self.prompt.images(best, self._seeds), *(self.prompt.images(end, some) for end in ends)]
            self._kept[key] = np.concatenate(shown)
        every = self._kept[key]
        rest = every[how.n_images :]
        return every[: how.n_images], rest.reshape(how.restarts, -1, *rest.shape[1:])

    def _optimise(self, feature: RankedFeature) -> tuple[PromptState, list[PromptState]]:
        """The best prompt on the held-out seeds, and where each restart ended."""
        how = self.how
        unit = neural_feature(self.model, PENULTIMATE, feature.index)
        scale = max(float(abs(self._scale[feature.index])), 1e-3)
        whole: dict[Objective, float] = {unit: 1 / scale}
        if how.class_weight:
            whole[class_log_probability(self.model, self.target.index)] = how.class_weight
        objective = weighted(whole)
        for restart, state in enumerate(self._random):
            self.prompt.set_state(state, restart, random=True)
        start_from_words(self.prompt, objective, self._promising(objective), self._start_seeds, how.restarts - 1)
        total = how.steps * how.restarts * how.batch
        self.progress.start(f"Feature {feature.index}, rank {feature.rank}", total)
        best = self.prompt.state()
        for step in optimize_prompt(
            self.prompt, objective, steps=how.steps, batch=how.batch, held_out_seeds=HELD_OUT,
            evaluate_every=EVALUATE_EVERY, seed=how.seed,
        ):  # fmt: skip
            best = step.best
            self.progress.advance(how.restarts * how.batch)
        self.progress.done()
        return best, [self.prompt.state(restart) for restart in range(how.restarts)]

    def _gain(self, word: str, feature: RankedFeature, plain: NDArray[np.float64]) -> tuple[float, float, float]:
        """Rise of the feature's mean under a word, and the ends of its interval."""
        values = self._values(self._word_images[word], feature)
        gain = float(values.mean() - plain.mean())
        error = (values.var(ddof=1) / len(values) + plain.var(ddof=1) / len(plain)) ** 0.5
        wide = float(student_t.ppf((1 + self.how.confidence) / 2, len(values) - 1) * error)
        return gain, gain - wide, gain + wide

    def _promising(self, objective: Objective) -> list[str]:
        """Words, and each word twice, by the score of the word's pictures; the highest first."""
        scores = {word: self._score(objective, images) for word, images in self._word_images.items()}
        return [text for word in sorted(scores, key=lambda one: -scores[one]) for text in (word, f"{word}, {word}")]

    @staticmethod
    def _score(objective: Objective, images: NDArray[np.uint8]) -> float:
        with torch.no_grad():
            return float(objective(torch.as_tensor(images).permute(0, 3, 1, 2).float() / 255).mean())

    def _pictures(self, captions: list[str], purpose: str) -> NDArray[np.uint8]:
        seeds = [row_seed(self.how.seed, f"spurious {purpose} {i}") for i in range(len(captions))]
        return self._rendered(captions, seeds)

    def _rendered(self, captions: list[str], seeds: list[int]) -> NDArray[np.uint8]:
        key = hash_parts(self.generator.fingerprint, *captions, *map(str, seeds))
        if key not in self._kept:
            self._kept[key] = self.generator.generate(captions, seeds)
        return self._kept[key]

    def _values(self, images: NDArray[np.uint8], feature: RankedFeature) -> NDArray[np.float64]:
        return feature_values(self.model, images)[:, feature.index]

    def _seen(self, images: NDArray[np.uint8]) -> NDArray[np.bool_]:
        return self.presence.present(self.segmenter.segment(images, self.target.name))

    def _see(self, images: NDArray[np.uint8], word: str) -> float:
        return float(self.presence.present(self.segmenter.segment(images, word)).mean())

    def _share(self, seen: NDArray[np.bool_]) -> Share:
        return corrected_share(int(seen.sum()), len(seen), self.errors, self.how.confidence)
