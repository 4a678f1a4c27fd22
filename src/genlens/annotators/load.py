"""From the text that names an annotator to the annotator."""

from __future__ import annotations

from typing import Any

from genlens.annotators.protocol import Annotator
from genlens.errors import UserError

FORMS = (
    "'clip:ID', 'owlv2:ID', 'grounding-dino:ID', 'clipseg:ID' (folders or hub ids), or a classifier: "
    "'file.py:function', 'bundled:NAME', 'hf:ID' …"
)


def load_annotator(
    spec: str, *, template: str | None = None, device: str = "auto", batch_size: int | None = None
) -> Annotator:
    """Load the annotator that a text names.

    Args:
        spec: one of `FORMS`. A function takes uint8 images and returns a score a concept, above 0 where it is present.
        template: prompt of a concept with "{}" for its name, where the annotator has prompts; None: its own.
        device: for torch models.
        batch_size: images at a time, of classifiers; None: their own.

    Raises:
        UserError: the text or what it names is wrong, or the annotator has no prompts.
    """
    head, _, source = spec.partition(":")
    prompt: dict[str, Any] = {} if template is None else {"template": template}
    if head in ("clip", "owlv2", "clipseg", "grounding-dino") and not source:
        raise UserError(f"`annotator` must be {FORMS}; got {spec!r}.")
    if head == "clip":
        from genlens.annotators.zero_shot import ClipAnnotator

        return ClipAnnotator.from_pretrained(source, device=device, **prompt)
    if head == "owlv2":
        from genlens.annotators.detection import Owlv2Annotator

        return Owlv2Annotator.from_pretrained(source, device=device, **prompt)
    if head == "clipseg":
        from genlens.annotators.classifier import SegmenterAnnotator
        from genlens.segmenters.load import load_segmenter

        return SegmenterAnnotator(load_segmenter(source, device=device, **prompt))
    if prompt:
        raise UserError("`template` needs an annotator with prompts: clip, owlv2 or clipseg.")
    if head == "grounding-dino":
        from genlens.annotators.detection import GroundingDinoAnnotator

        return GroundingDinoAnnotator.from_pretrained(source, device=device)
    from genlens.annotators.classifier import ClassifierAnnotator
    from genlens.classifiers.load import load_classifier

    try:
        classifier = load_classifier(spec, device=device, batch_size=batch_size)
    except UserError as error:
        if str(error).startswith("`classifier` must be"):
            raise UserError(f"`annotator` must be {FORMS}; got {spec!r}.") from error
        raise
    return ClassifierAnnotator(classifier)
