"""Layers of a network by name."""

from __future__ import annotations

import difflib

from torch import nn

from genlens.errors import UserError


def named_layer(module: nn.Module, name: str) -> nn.Module:
    """The layer of that name in `module`.

    Raises:
        UserError: there is none; near matches are listed.
    """
    layers: dict[str, nn.Module] = dict(module.named_modules())
    if not name or name not in layers:
        near = difflib.get_close_matches(name, layers, n=3, cutoff=0.3) or [key for key in layers if key][-3:]
        raise UserError(f"`layer` must name a layer of the model; got {name!r}. Near: {', '.join(near)}.")
    return layers[name]
