"""Modules import only from the left, and heavy libraries stay out of the quick paths."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest

SOURCE = Path(__file__).parents[1] / "src"
PACKAGE = SOURCE / "genlens"

ORDER = (
    {"_lazy", "_version", "errors", "files", "memory", "metrics", "overlap", "progress", "proportions", "seeds",
     "shards", "storage"},
    {"annotation", "captions", "columns", "concepts", "labels", "leakage", "long_captions"},
    {"datasets"},
    {"plan", "plans"},
    {"annotators", "classifiers", "generators", "segmenters"},
    {"batch_writer", "engine", "plan_file", "ray_engine", "run_folder", "score_cache", "scorer", "store"},
    {"checks", "importance"},
    {"annotate", "baselines", "oracles"},
    {"prompts"},
    {"findings"},
    {"reports"},
    {"study"},
    {"training"},
    {"audit", "audit_checks", "gallery", "target_scores"},
    {"analyses"},
    {"adaptive"},
    {"bias_prompts", "bias_run", "compare", "demo", "depict", "experiments", "explain", "explain_steps"},
    {"cli"},
    {"__main__"},
)
"""Groups of modules and packages from left to right; a module imports from its own group and those left of it."""

EXCEPTIONS = {
    ("importance.result", "reports"): "`.plot()` and `.to_html()` of a result",
    ("concepts", "datasets"): "the constructors of ConceptTable that read files",
}
"""Imports to the right that are allowed, inside functions only."""

LIGHT = ("captum", "diffusers", "jinja2", "matplotlib", "pandas", "peft", "pyarrow", "scipy", "sklearn", "torch",
         "transformers")  # fmt: skip


DISTRIBUTION = {"PIL": "pillow", "skimage": "scikit_image", "sklearn": "scikit_learn"}
"""Name in an import -> name of the package, where they differ."""


def modules() -> dict[str, ast.Module]:
    """Dotted name below genlens -> syntax tree, without genlens/__init__.py (lazy names of everything)."""
    found = {}
    for path in sorted(PACKAGE.rglob("*.py")):
        parts = path.relative_to(PACKAGE).with_suffix("").parts
        name = ".".join(parts[:-1] if parts[-1] == "__init__" else parts)
        if name:
            found[name] = ast.parse(path.read_text(encoding="utf-8"), str(path))
    return found


def imports(tree: ast.Module) -> Iterator[tuple[str, bool]]:
    """(module below genlens, at module level) of every import of genlens, wherever it stands."""
    top = set(tree.body)
    for node in ast.walk(tree):
        names: list[str] = []
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.level == 0 and node.module is not None:
            names = [f"genlens.{a.name}" for a in node.names] if node.module == "genlens" else [node.module]
        for name in names:
            if name.startswith("genlens."):
                yield name.removeprefix("genlens."), node in top


def level(module: str) -> int:
    """Position of a module in `ORDER`."""
    head = module.split(".")[0]
    for position, group in enumerate(ORDER):
        if head in group:
            return position
    raise LookupError(f"genlens.{head} has no place in ORDER of {Path(__file__).name}; give it one")


def violations(trees: dict[str, ast.Module]) -> list[str]:
    found = []
    for module, tree in trees.items():
        for target, at_top in imports(tree):
            allowed = (module, target.split(".")[0]) in EXCEPTIONS and not at_top
            if level(target) > level(module) and not allowed:
                found.append(f"{module} imports {target}")
    return found


def test_modules_import_only_from_the_left() -> None:
    assert violations(modules()) == []


@pytest.mark.parametrize(
    ("module", "source", "caught"),
    [
        ("errors", "def f():\n    from genlens.plan import make_plan", True),
        ("seeds", "import genlens.store", True),
        ("engine", "from genlens import checks", True),
        ("importance.result", "import genlens.reports.html", True),  # the exception holds inside functions only
        ("importance.result", "def f():\n    import genlens.reports.html", False),
        ("plan", "from genlens.concepts import ConceptTable", False),
        ("cli.rank", "import torch", False),
    ],
)
def test_the_rule_catches_what_it_should(module: str, source: str, caught: bool) -> None:
    assert bool(violations({module: ast.parse(source)})) is caught


def test_every_library_imported_is_declared() -> None:
    project = tomllib.loads((SOURCE.parent / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    extras = project["optional-dependencies"]
    optional = [name for extra in ("medical", "timm", "onnx", "ray", "quality") for name in extras[extra]]
    declared = [*project["dependencies"], *optional]
    names = {re.split(r"[^\w-]", text)[0].replace("-", "_") for text in declared}
    imported = {
        name.split(".")[0]
        for tree in modules().values()
        for node in ast.walk(tree)
        if isinstance(node, (ast.Import, ast.ImportFrom))
        for name in ([node.module or ""] if isinstance(node, ast.ImportFrom) else [alias.name for alias in node.names])
    }
    foreign = {DISTRIBUTION.get(name, name) for name in imported - sys.stdlib_module_names - {"genlens"}}
    assert foreign - names == set()


def test_relative_imports_are_not_used() -> None:
    used = [
        module
        for module, tree in modules().items()
        for node in ast.walk(tree)
        if isinstance(node, ast.ImportFrom) and node.level
    ]
    assert used == []


@pytest.mark.parametrize("code", ["import genlens", "import genlens.cli", "from genlens.__main__ import main"])
def test_the_quick_paths_import_nothing_heavy(code: str) -> None:
    script = f"import sys\n{code}\nprint(*sorted({{name.split('.')[0] for name in sys.modules}}))"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True, timeout=60)
    assert set(done.stdout.split()) & set(LIGHT) == set()


def test_public_names_are_the_ones_the_type_checker_sees() -> None:
    import genlens

    tree = ast.parse((PACKAGE / "__init__.py").read_text(encoding="utf-8"))
    blocks = [node for node in tree.body if isinstance(node, ast.If)]
    seen = {
        alias.name: node.module for block in blocks for node in block.body if isinstance(node, ast.ImportFrom)
        for alias in node.names
    }  # fmt: skip
    assert seen == genlens._HOME


def test_every_public_name_exists() -> None:
    import genlens

    assert [name for name in genlens.__all__ if not hasattr(genlens, name)] == []
    assert set(genlens.__all__) <= set(dir(genlens))
    with pytest.raises(AttributeError, match="has no attribute 'nothing'"):
        _ = genlens.nothing  # type: ignore[attr-defined]
