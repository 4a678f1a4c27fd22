"""The shipped segmenter's network: a tiny CLIPSeg from its config, started so that it learns quickly on a CPU."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from genlens.training.segmenter_text import MAX_TOKENS

if TYPE_CHECKING:
    from transformers import CLIPSegForImageSegmentation, PreTrainedTokenizerFast

IMAGE_SIZE, PATCH, HIDDEN, LAYERS, PROJECTION, REDUCED = 64, 8, 96, 3, 64, 96


def new_segmenter(tokenizer: PreTrainedTokenizerFast) -> CLIPSegForImageSegmentation:
    """An untrained CLIPSeg of half a million weights: 64 x 64 pictures, patches of 8, masks of 32 x 32."""
    from transformers import CLIPSegConfig, CLIPSegForImageSegmentation

    text = {
        "vocab_size": len(tokenizer), "hidden_size": 64, "intermediate_size": 128, "num_hidden_layers": 2,
        "num_attention_heads": 4, "max_position_embeddings": MAX_TOKENS, "pad_token_id": tokenizer.pad_token_id,
        "bos_token_id": tokenizer.bos_token_id, "eos_token_id": tokenizer.eos_token_id,
    }  # fmt: skip
    vision = {
        "hidden_size": HIDDEN, "intermediate_size": 2 * HIDDEN, "num_hidden_layers": LAYERS, "num_attention_heads": 4,
        "image_size": IMAGE_SIZE, "patch_size": PATCH,
    }  # fmt: skip
    config = CLIPSegConfig(
        text_config=text, vision_config=vision, projection_dim=PROJECTION, extract_layers=[0, LAYERS - 1],
        reduce_dim=REDUCED, decoder_intermediate_size=2 * REDUCED, decoder_num_attention_heads=4,
        use_complex_transposed_convolution=True,
    )  # fmt: skip
    model = CLIPSegForImageSegmentation(config)
    _know_places(model)
    last: Any = model.decoder.transposed_convolution[-1]
    torch.nn.init.normal_(last.weight, std=1e-3)  # begin with small probabilities everywhere
    torch.nn.init.constant_(last.bias, -2.0)
    return model


def _know_places(model: CLIPSegForImageSegmentation) -> None:
    """Start from sines of the patches' places and attention that can see them: neighbours are found much sooner."""
    side, channels = IMAGE_SIZE // PATCH, HIDDEN // 4
    angles = torch.arange(side)[:, None] * (torch.pi / side) * torch.linspace(0.5, side / 2, channels)  # (side, C / 4)
    waves = torch.cat([angles.sin(), angles.cos()], dim=1)  # (side, C / 2)
    rows, columns = waves.repeat_interleave(side, 0), waves.repeat(side, 1)
    vision: Any = model.clip.vision_model
    with torch.no_grad():
        vision.embeddings.position_embedding.weight[1:] = 0.4 * torch.cat([rows, columns], dim=1)
        for layer in vision.encoder.layers:
            for projection in (layer.self_attn.q_proj, layer.self_attn.k_proj):
                torch.nn.init.normal_(projection.weight, std=HIDDEN**-0.5)


def scale_reductions(model: CLIPSegForImageSegmentation, images: NDArray[np.uint8]) -> None:
    """Start the decoder on vision layers of equal size, those it adds later being smaller."""
    with torch.no_grad():
        hidden = vision_layers(model, images)
        for i, (layer, reduce) in enumerate(zip(reversed(model.extract_layers), model.decoder.reduces, strict=True)):
            size = float(hidden[layer + 1].square().mean().sqrt())
            torch.nn.init.normal_(reduce.weight, std=HIDDEN**-0.5 * (1.0 if i == 0 else 0.3) / size)


def mask_logits(model: CLIPSegForImageSegmentation, images: NDArray[np.uint8], tokens: Any) -> Tensor:
    """Logits (B, K, 64, 64), with gradients to the decoder.

    Args:
        model: the segmenter.
        images: (B, 64, 64, 3).
        tokens: ids and mask of B * K prompts, those of a picture together.
    """
    n_prompts = len(tokens.input_ids) // len(images)
    with torch.no_grad():
        hidden = vision_layers(model, images)
        layers = tuple(hidden[i + 1].repeat_interleave(n_prompts, 0) for i in model.extract_layers)
        asked = model.clip.get_text_features(tokens.input_ids, attention_mask=tokens.attention_mask).pooler_output
    logits = model.decoder(layers, asked).logits[:, None].float()  # (B * K, 1, 32, 32)
    full = functional.interpolate(logits, (IMAGE_SIZE, IMAGE_SIZE), mode="bilinear", align_corners=False)
    return full.view(len(images), n_prompts, IMAGE_SIZE, IMAGE_SIZE)


def vision_layers(model: CLIPSegForImageSegmentation, images: NDArray[np.uint8]) -> tuple[Tensor, ...]:
    """Hidden states (B, 1 + 64, C) of the vision tower, its input first."""
    pixels = torch.from_numpy(images).permute(0, 3, 1, 2).float().div(255).sub(0.5).div(0.25)
    seen: Any = model.clip.vision_model(pixel_values=pixels, output_hidden_states=True)
    return tuple(seen.hidden_states)
