"""Every module imports alone, says what is public, and imports only from the layers below it."""

from __future__ import annotations

import ast
import subprocess
import sys
from graphlib import TopologicalSorter
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
PACKAGE = ROOT / "pkdr_monai"

LAYERS = [  # each imports from those above it, never from its own or a later one
    {"errors", "losses", "metrics", "system", "federated"},
    {"arguments", "drawing", "files", "modalities", "regions", "workflow"},
    {"phantom", "runs", "terminal"},
    {"networks"},
    {"baselines", "data", "handlers", "regularizers"},
    {"caching", "inference", "reporting", "studies"},
    {"packaging", "prepare", "scoring"},
    {"cli"},
    {"__main__"},
]

MODULES = sorted(
    path.relative_to(PACKAGE).as_posix() for path in PACKAGE.rglob("*.py") if path.name not in {"__init__.py"}
)


def test_every_module_imports_without_the_others_being_there_first() -> None:
    """Names in ``__all__`` exist, so that a newcomer sees what is public; that it is sorted, ruff checks (RUF022)."""
    import importlib

    for module in MODULES:
        loaded = importlib.import_module("pkdr_monai." + module.removesuffix(".py").replace("/", "."))
        public = getattr(loaded, "__all__", None)
        assert public is not None, f"{module} has no __all__"
        assert all(hasattr(loaded, name) for name in public), module


def test_the_heavy_tests_which_run_later_can_be_imported() -> None:
    words = [sys.executable, "-m", "pytest", "--collect-only", "--quiet", "tests/heavy"]
    collected = subprocess.run(words, cwd=ROOT, capture_output=True, text=True, check=False)
    assert collected.returncode == 0, collected.stdout


def _imports(module: str) -> set[str]:
    """Return what a module of the package imports from the package, also within functions, such as ``data.cases``."""
    nodes = ast.walk(ast.parse((PACKAGE / module).read_text(encoding="utf-8")))
    found = [node for node in nodes if isinstance(node, ast.ImportFrom) and node.module]
    return {
        f"{node.module}.{alias.name}".removeprefix(f"{PACKAGE.name}.")
        for node in found
        if str(node.module).partition(".")[0] == PACKAGE.name
        for alias in node.names
    }


def test_no_import_leads_upward() -> None:
    layer = {name: number for number, names in enumerate(LAYERS) for name in names}
    assert {Path(module).parts[0].removesuffix(".py") for module in MODULES} == set(layer)
    for path in PACKAGE.rglob("*.py"):
        module = path.relative_to(PACKAGE).as_posix()
        own = module.partition("/")[0].removesuffix(".py")
        for name in _imports(module):
            other = name.partition(".")[0]
            allowed = other not in layer or other == own or layer[other] < layer[own]
            assert allowed, f"{module} imports {other}, which is not below it in LAYERS"


def test_no_modules_import_each_other_in_a_circle() -> None:
    """Not even within functions: what two modules need of each other is a third one, or they are one."""
    names = {module.removesuffix(".py").replace("/", ".") for module in MODULES}
    imported = {name: _imports(name.replace(".", "/") + ".py") for name in names}
    graph = {
        name: {other for other in names if any(f"{found}.".startswith(f"{other}.") for found in imported[name])}
        for name in names
    }
    assert len(list(TopologicalSorter(graph).static_order())) == len(names)
