"""Fingerprints: short hashes that change whenever a classifier's outputs would."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from types import CodeType
from typing import TYPE_CHECKING, Any

from genlens.errors import UserError

if TYPE_CHECKING:
    from torch import nn

_CHUNK = 1 << 20


def hash_parts(*parts: str | bytes) -> str:
    """Hash of texts and bytes, boundaries included: 32 hexadecimal digits."""
    digest = hashlib.blake2b(digest_size=16)
    for part in parts:
        data = part.encode("utf-8", "surrogatepass") if isinstance(part, str) else part
        digest.update(b"%d:" % len(data))
        digest.update(data)
    return digest.hexdigest()


def hash_spec(spec: Mapping[str, Any]) -> str:
    """Hash of a JSON-able mapping, whatever the order of its keys."""
    return hash_parts(json.dumps(spec, sort_keys=True))


def hash_file(path: Path) -> str:
    """Hash of a file's bytes."""
    digest = hashlib.blake2b(digest_size=16)
    with path.open("rb") as file:
        while chunk := file.read(_CHUNK):
            digest.update(chunk)
    return digest.hexdigest()


def hash_module(module: nn.Module) -> str:
    """Hash of a torch module's class name and of every parameter and buffer it saves: names, types, shapes, bytes."""
    import torch

    digest = hashlib.blake2b(type(module).__qualname__.encode(), digest_size=16)
    for name, value in sorted(module.state_dict().items()):
        if not isinstance(value, torch.Tensor):
            digest.update(f"{name}={value!r};".encode())
            continue
        tensor = value.detach().cpu().contiguous().reshape(-1)
        digest.update(f"{name}:{tensor.dtype}:{tuple(value.shape)};".encode())
        digest.update(tensor.view(torch.uint8).numpy().data)
    return digest.hexdigest()


def hash_function(function: Any, argument: str = "fingerprint") -> str:
    """Hash of a plain function's name and byte code.

    Args:
        function: a function without a closure, whose defaults are numbers or text; what its globals hold and the
            functions it calls are not covered.
        argument: name of the parameter the message asks for instead.

    Raises:
        UserError: a closure, a bound method, a callable object or one with objects for defaults, whose behaviour its
            code alone doesn't decide.
    """
    code = getattr(function, "__code__", None)
    if not isinstance(code, CodeType) or not _is_plain(function):
        name = getattr(function, "__qualname__", type(function).__qualname__)
        raise UserError(
            f"{name!r} is no plain function, so its code alone doesn't say what it computes. "
            f"Pass `{argument}='…'`, a text that you change when its outputs change."
        )
    defaults = repr((function.__defaults__, function.__kwdefaults__))
    return hash_parts(function.__qualname__, defaults, *_code_parts(code))


def _is_plain(function: Any) -> bool:
    defaults = [*(function.__defaults__ or ()), *(function.__kwdefaults__ or {}).values()]
    simple = all(value is None or isinstance(value, (int, float, str, bytes)) for value in defaults)
    return simple and not function.__closure__ and getattr(function, "__self__", None) is None


def _code_parts(code: CodeType) -> list[str | bytes]:
    """Byte code, names and constants, nested functions included; no line numbers and no file names."""
    parts: list[str | bytes] = [code.co_code, repr(code.co_names)]
    for constant in code.co_consts:
        parts.extend(_code_parts(constant) if isinstance(constant, CodeType) else [_stable_repr(constant)])
    return parts


def _stable_repr(constant: object) -> str:
    """`repr` of a constant; sets in sorted order, as theirs differs between processes."""
    return repr(sorted(map(repr, constant))) if isinstance(constant, frozenset) else repr(constant)
