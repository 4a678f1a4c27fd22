"""From what a user has - a module, a function, a file, an id - to a `Classifier`."""

from __future__ import annotations

import importlib.util
import inspect
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from types import ModuleType
from typing import Any

from genlens.classifiers.batches import describe_error
from genlens.classifiers.callable import CallableClassifier
from genlens.classifiers.fingerprint import hash_file, hash_module, hash_parts
from genlens.classifiers.protocol import Classifier, Outputs
from genlens.errors import GenlensError, UserError

FORMS = "'file.py:function', 'model.onnx', 'hf:ID' (transformers), 'timm:NAME' or 'bundled:NAME'"
BUNDLED = ("shapes-target", "shapes-concepts", "shapes-checker")


def as_classifier(
    model: Any,
    *,
    outputs: Outputs | None = None,
    device: str = "auto",
    batch_size: int | None = None,
    fingerprint: str | None = None,
) -> Classifier:
    """Make a classifier of a torch module, a timm model or a callable; a `Classifier` is returned as it is.

    Args:
        model: what to coerce. A module with `.pretrained_cfg` gets timm's preprocessing; another gets pixels scaled to
            [0, 1] and nothing else: use `TorchClassifier` to say size, mean and std.
        outputs: what it returns; "logits" for modules and "scores" for callables by default.
        device: for modules, as in `TorchClassifier`.
        batch_size: images at a time; None is the adapter's default.
        fingerprint: for callables that are no plain functions.

    Raises:
        UserError: it is none of these.
    """
    options: dict[str, Any] = {} if batch_size is None else {"batch_size": batch_size}
    if not isinstance(model, type):
        if "torch" in sys.modules and isinstance(model, sys.modules["torch"].nn.Module):
            from genlens.classifiers.timm import TimmClassifier
            from genlens.classifiers.torch_module import TorchClassifier

            adapter = TimmClassifier if getattr(model, "pretrained_cfg", None) else TorchClassifier
            return adapter(model, outputs=outputs or "logits", device=device, **options)
        if isinstance(model, Classifier):
            return model
        if callable(model):
            return CallableClassifier(model, outputs=outputs or "scores", fingerprint=fingerprint, **options)
    raise UserError(
        f"A classifier must be a torch.nn.Module, a callable or have `predict`, `outputs` and `fingerprint`; "
        f"got {model if isinstance(model, type) else type(model)}."
    )


def load_classifier(
    spec: str, *, outputs: Outputs | None = None, device: str = "auto", batch_size: int | None = None
) -> Classifier:
    """Load the classifier that a text names.

    Args:
        spec: ``file.py:function``, ``model.onnx``, ``hf:ID``, ``timm:NAME`` or ``bundled:NAME``. The function either
            takes no argument and returns a `Classifier`, a torch module or a callable; or takes one argument, a batch
            of images, and is the classifier itself.
        outputs: what a module, a callable or an ONNX model returns.
        device: for torch models.
        batch_size: images at a time; None is the adapter's default.

    Raises:
        UserError: the text, the file or what it holds is wrong, or an optional package is missing.
    """
    options: dict[str, Any] = {} if batch_size is None else {"batch_size": batch_size}
    head, separator, rest = spec.partition(":")
    if head == "hf" and rest:
        from genlens.classifiers.huggingface import TransformersClassifier

        return TransformersClassifier.from_pretrained(rest, device=device, **options)
    if head == "timm" and rest:
        from genlens.classifiers.timm import TimmClassifier

        return TimmClassifier.from_name(rest, device=device, **options)
    if head == "bundled" and separator:
        return _load_bundled(rest, device=device, **options)
    if spec.lower().endswith(".onnx"):
        from genlens.classifiers.onnx import OnnxClassifier

        return OnnxClassifier(spec, outputs=outputs or "logits", **options)
    path, separator, name = spec.rpartition(":")
    if not separator or not path.endswith(".py") or not name:
        raise UserError(f"`classifier` must be {FORMS}; got {spec!r}.")
    found, source = _found_in_file(Path(path), name)
    return _coerce(found, f"{path}:{name}", source, outputs=outputs, device=device, batch_size=batch_size)


def _load_bundled(name: str, **options: Any) -> Classifier:
    from genlens.classifiers.bundled import load_demo_target, load_shapes_checker, load_shapes_concepts

    loaders: Mapping[str, Callable[..., Classifier]] = dict(
        zip(BUNDLED, (load_demo_target, load_shapes_concepts, load_shapes_checker), strict=True)
    )
    if name not in loaders:
        raise UserError(f"There is no bundled classifier {name!r}. There are: {', '.join(BUNDLED)}.")
    return loaders[name](**options)


def load_classifiers(
    spec: str, *, outputs: Outputs | None = None, device: str = "auto", batch_size: int | None = None
) -> dict[str, Classifier]:
    """Load all classifiers that a text names, by name.

    Args:
        spec: as in `load_classifier`, or ``NAME=`` before it. A function ``file.py:function`` may also return a mapping
            from names to models, such as a hundred heads on one bottleneck.
        outputs: as in `load_classifier`.
        device: for torch models.
        batch_size: images at a time.

    Returns:
        One entry, called NAME or as `spec` says; or an entry for each of the mapping, called after it.

    Raises:
        UserError: as in `load_classifier`, or the mapping is empty or has a name that isn't text.
    """
    head, equals, rest = spec.partition("=")
    name, text = (head.strip(), rest) if equals and "/" not in head and ":" not in head else ("", spec)
    path, separator, function = text.rpartition(":")
    if separator and path.endswith(".py") and function:
        found, source = _found_in_file(Path(path), function)
        if isinstance(found, Mapping):
            return _mapping(found, text, source, name, outputs=outputs, device=device, batch_size=batch_size)
        coerced = _coerce(found, text, source, outputs=outputs, device=device, batch_size=batch_size)
        return {name or text: coerced}
    return {name or text: load_classifier(text, outputs=outputs, device=device, batch_size=batch_size)}


def _mapping(found: Mapping[Any, Any], where: str, source: str, name: str, **options: Any) -> dict[str, Classifier]:
    if not found or not all(isinstance(key, str) for key in found):
        raise UserError(f"{where} must return models by name, text -> model, at least one; got {list(found)[:3]}.")
    prefix = f"{name} " if name else ""
    return {
        prefix + key: _coerce(model, f"{where} [{key}]", hash_parts(source, key, *_module_hashes(model)), **options)
        for key, model in found.items()
    }


def _found_in_file(path: Path, name: str) -> tuple[Any, str]:
    """What the file holds under a name (or what a function of that name returns), and a hash of its source."""
    if not path.is_file():
        raise UserError(f"There is no file {str(path)!r} to take the classifier {name!r} from.")
    module = import_file(path)
    found = getattr(module, name, None)
    if found is None:
        raise UserError(f"{path} has no function {name!r}. It has: {', '.join(_functions(module)) or 'none'}.")
    if _is_loader(found, f"{path}:{name}"):
        try:
            found = found()
        except GenlensError:
            raise
        except Exception as error:  # the user's code may raise anything
            raise UserError(f"{path}:{name} raised {describe_error(error)}.") from error
    return found, hash_parts(hash_file(path), name, *_module_hashes(found))


def _coerce(
    found: Any, where: str, source: str, *, outputs: Outputs | None, device: str, batch_size: int | None
) -> Classifier:
    if not callable(found) and not isinstance(found, Classifier):
        raise UserError(
            f"{where} must return a Classifier, a torch.nn.Module or a callable; got {type(found).__name__}."
        )
    return as_classifier(found, outputs=outputs, device=device, batch_size=batch_size, fingerprint=source)


def import_file(path: Path) -> ModuleType:
    """Run the user's file as a module of its own; its folder is importable meanwhile.

    Raises:
        UserError: it can't be imported.
    """
    name = f"genlens_user_{hash_parts(str(path.resolve()))}"
    spec = importlib.util.spec_from_file_location(name, path)
    if spec is None or spec.loader is None:
        raise UserError(f"{path} can't be imported.")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    sys.path.insert(0, str(path.resolve().parent))
    try:
        spec.loader.exec_module(module)
    except GenlensError:
        raise
    except (Exception, SystemExit) as error:
        del sys.modules[name]
        raise UserError(f"{path} can't be imported: {describe_error(error)}.") from error
    finally:
        sys.path.remove(str(path.resolve().parent))
    return module


def _functions(module: ModuleType) -> list[str]:
    """Public functions and classes that the file itself defines."""
    return sorted(
        name
        for name, value in vars(module).items()
        if not name.startswith("_") and getattr(value, "__module__", None) == module.__name__ and callable(value)
    )


def _is_loader(found: Any, where: str) -> bool:
    """Whether a function must be called to get the classifier, rather than being one."""
    if not isinstance(found, type) and not inspect.isfunction(found):
        return False
    required = [
        parameter.name
        for parameter in inspect.signature(found).parameters.values()
        if parameter.default is parameter.empty
        and parameter.kind not in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD)
    ]
    if len(required) > 1 or (required and isinstance(found, type)):
        raise UserError(
            f"{where} takes {', '.join(required)}; it must take nothing and return the classifier, or take a batch of "
            "images and return scores."
        )
    return not required


def _module_hashes(found: Any) -> list[str]:
    """Hashes of the torch modules that a callable holds in its closure or, as a method or an object, in itself."""
    if "torch" not in sys.modules:
        return []
    held = [cell.cell_contents for cell in getattr(found, "__closure__", None) or ()]
    owner = getattr(found, "__self__", found)
    held += list(vars(owner).values()) if hasattr(owner, "__dict__") and not isinstance(owner, ModuleType) else []
    return [hash_module(value) for value in held if isinstance(value, sys.modules["torch"].nn.Module)]
