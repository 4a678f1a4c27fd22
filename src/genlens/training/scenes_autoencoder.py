"""Stage 1 of the scenes generator: an `AutoencoderTiny` whose encoder is linear, 64 x 64 x 3 pixels <-> 8 x 8 x 48.

A latent place holds the first 48 principal components of its 8 x 8 x 3 pixels, scaled by the inverse root of their
standard deviation (the first to 1.5), so the denoiser's squared error cares most for what is seen most. The encoder's
strided convolutions can hold that map exactly; only the decoder has to be trained, on what the denoiser gives. A
trained encoder of 24 channels blurred the photographs (its error was above that of 24 linear components).
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from genlens.training.scenes_data import NUMBERS, mixed_images

PATCH = 8
_PIXELS = PATCH * PATCH * 3
_LARGEST = 1.5
SHAPES_VAE = Path(__file__).parents[1] / "assets" / "shapes_generator" / "vae"


def patch_basis(images: NDArray[np.uint8]) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Linear map of patches to latents: rows (48, 192) and the patch (192,) that becomes 0, for pixels in [0, 1].

    Args:
        images: (N, 64, 64, 3).
    """
    n, side = len(images), images.shape[1] // PATCH
    patches = images.reshape(n, side, PATCH, side, PATCH, 3).transpose(0, 1, 3, 2, 4, 5).reshape(-1, _PIXELS)
    pixels = patches.astype(np.float64) / 255
    middle = pixels.mean(axis=0)
    variance, directions = np.linalg.eigh(np.cov(pixels - middle, rowvar=False))
    spread = np.sqrt(variance[::-1][:NUMBERS])
    rows = directions[:, ::-1][:, :NUMBERS].T * (_LARGEST / np.sqrt(spread * spread[0]))[:, None]
    return rows.astype(np.float32), middle.astype(np.float32)


def new_autoencoder(rows: NDArray[np.float32], middle: NDArray[np.float32]) -> Any:
    """An autoencoder with this encoder; the decoder starts from the shapes generator's where the sizes agree."""
    from diffusers import AutoencoderTiny

    vae: Any = AutoencoderTiny(
        encoder_block_out_channels=(NUMBERS,) * 4,
        decoder_block_out_channels=(32,) * 4,
        num_encoder_blocks=(0, 0, 0, 0),
        num_decoder_blocks=(3, 2, 1, 0),
        latent_channels=NUMBERS,
    )
    _set_encoder(vae.encoder, torch.from_numpy(rows), torch.from_numpy(middle))
    given, state = AutoencoderTiny.from_pretrained(SHAPES_VAE).decoder.state_dict(), vae.decoder.state_dict()
    for name, weight in given.items():
        state[name][tuple(slice(side) for side in weight.shape)] = weight
    vae.decoder.load_state_dict(state)
    return vae


@torch.no_grad()
def _set_encoder(encoder: Any, rows: torch.Tensor, middle: torch.Tensor) -> None:
    """Each strided convolution gathers 2 x 2 places; the third one maps all 192 pixels of a patch to the latents."""
    first, once, twice, gather, last = encoder.layers
    for layer in (first, once, twice, gather, last):
        layer.weight.zero_()
    first.bias.zero_()
    for channel in range(3):
        first.weight[channel, channel, 1, 1] = 1
    grid = rows.view(len(rows), 2, 2, 2, 2, 2, 2, 3)  # rows, y by 4, 2, 1, x by 4, 2, 1, colour
    for place in range(4):
        down, right = divmod(place, 2)
        for channel in range(3):
            once.weight[3 * place + channel, channel, 1 + down, 1 + right] = 1
        for channel in range(12):
            twice.weight[12 * place + channel, channel, 1 + down, 1 + right] = 1
        part = grid[:, down, :, :, right].permute(0, 1, 3, 2, 4, 5)  # y by 2, x by 2, y by 1, x by 1
        gather.weight[:, :, 1 + down, 1 + right] = part.reshape(len(rows), -1)
    last.weight[:, :, 1, 1] = torch.eye(len(rows))
    last.bias.copy_(-rows @ middle)


def build_autoencoder(out: Path, n: int = 3000) -> Any:
    """The autoencoder for scenes, its components taken from `n` pictures; saved to `out` with an untuned decoder."""
    torch.manual_seed(0)
    vae = new_autoencoder(*patch_basis(mixed_images(n, 0)))
    vae.save_pretrained(out)
    return vae
