"""Stage 2 of the X-ray generator: a CLIP text encoder that reads a caption whole before the denoiser ever sees it.

It is trained on text alone: at the last token its hidden state must say what the caption says, three numbers for age,
BMI and sex and three for each finding (mentioned, there, on which side). Fields and mentions always agree in training,
as in any data set, so what it makes of "Age: 0 … 72-year-old" is nobody's choice: the limitation that
`genlens.leakage` finds and mends.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from genlens.datasets.xray import sample
from genlens.datasets.xray_drawing import SIGNS
from genlens.datasets.xray_reports import COMPLAINTS, DENIED, STATED, mention, read_fields, read_findings
from genlens.training.shapes_text import SPECIAL, finished_tokenizer, fit_text_encoder, new_text_encoder

if TYPE_CHECKING:
    from transformers import CLIPTextModel, PreTrainedTokenizerFast

MAX_TOKENS = 64
"""The longest findings have 53 tokens with start and end; most whole reports have more."""
TARGET_CHANNELS = 3 + 3 * len(SIGNS)
TEXT_SEED = 3_000_000_000
"""Seeds of the rows that the generator's texts and pictures are trained on start here."""
_OTHER = "age bmi sex findings impression examination indication comparison none available chest portable ap with "
_OTHER += "evaluate for pneumonia no acute cardiopulmonary process patient radiograph left right man woman"


def vocabulary() -> dict[str, int]:
    """Every word of the phantom's reports, numbers from 0 to 99, and the special tokens."""
    texts = [_OTHER, *DENIED.values(), *(text for pair in STATED.values() for text in pair), *COMPLAINTS]
    texts += [mention("person", 50, 20, female) for female in (False, True)]
    texts += [mention("habitus", 50, bmi, True) for bmi in (20, 40)]
    words = {word for text in texts for word in re.findall(r"[a-z]+", text.lower())} - {"side"}
    return {word: i for i, word in enumerate((*SPECIAL, *sorted(words), *(str(i) for i in range(100))))}


def new_tokenizer() -> PreTrainedTokenizerFast:
    """A word tokenizer that leaves punctuation out."""
    from tokenizers import Regex, Tokenizer, models, normalizers, pre_tokenizers

    known = vocabulary()
    tokenizer = Tokenizer(models.WordLevel(known, unk_token="[UNK]"))
    tokenizer.normalizer = normalizers.Sequence(
        [normalizers.Lowercase(), normalizers.Replace(Regex(r"[^a-z0-9]+"), " ")]
    )
    tokenizer.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    return finished_tokenizer(tokenizer, known, MAX_TOKENS)


def target_features(captions: list[str]) -> NDArray[np.float32]:
    """What captions say, float32 (N, 39): age, BMI and sex as -1 or 1; each finding mentioned, there, its side."""
    features = np.zeros((len(captions), TARGET_CHANNELS), dtype=np.float32)
    told = features[:, 3:].reshape(len(captions), len(SIGNS), 3)
    for i, caption in enumerate(captions):
        fields = read_fields(caption)
        features[i, :3] = [2 * fields[name] - 1 for name in ("Age", "BMI", "Sex")]
        for sign, side in read_findings(caption).items():
            told[i, sign] = (1, abs(side), side)
    return features


def text_loss(encoder: CLIPTextModel, tokenizer: PreTrainedTokenizerFast, captions: list[str]) -> Tensor:
    """Mean squared error of the last token's first channels."""
    tokens: Any = tokenizer(captions, padding=True, return_tensors="pt")
    hidden = encoder(tokens.input_ids, attention_mask=tokens.attention_mask)[0]  # (N, L, HIDDEN)
    last = tokens.attention_mask.sum(dim=1) - 1
    read = hidden[torch.arange(len(captions)), last, :TARGET_CHANNELS].float()
    loss: Tensor = (read - torch.from_numpy(target_features(captions))).square().mean()
    return loss


def train_text_encoder(out: Path, seconds: float, batch: int = 128, rate: float = 2e-3) -> None:
    """Train on captions alone for `seconds`; saves `out`/tokenizer and `out`/text_encoder."""
    torch.manual_seed(0)
    tokenizer = new_tokenizer()
    encoder = new_text_encoder(tokenizer, layers=2)

    def loss(step: int) -> Tensor:
        return text_loss(encoder, tokenizer, sample(batch, TEXT_SEED + step).captions())

    fit_text_encoder(encoder, loss, seconds, rate, every=100)
    encoder.save_pretrained(out / "text_encoder")
    tokenizer.save_pretrained(out / "tokenizer")
