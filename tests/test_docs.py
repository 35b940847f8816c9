"""The documents keep their word: links lead somewhere, code compiles, and what a command names is there."""

from __future__ import annotations

import inspect
import re
import shlex
from fnmatch import fnmatch
from pathlib import Path
from typing import Any

import pytest
from fire.parser import DefaultParseValue
from monai.bundle import ConfigParser

from pkdr_monai.cli import Commands
from pkdr_monai.workflow import check_overrides

ROOT = Path(__file__).resolve().parents[1]
FOLDERS = (".", "docs", "bundle/docs", "bundle/models", "experiments", "benchmarks")
DOCUMENTS = sorted(path.relative_to(ROOT) for folder in FOLDERS for path in (ROOT / folder).glob("*.md"))
LINK = re.compile(r"!?\[[^\]]*\]\(([^)\s]+)\)")
FENCE = re.compile(r"^```python\n(.*?)^```", re.MULTILINE | re.DOTALL)
CONFIG = re.compile(r"\b(?:bundle/configs|experiments)/[\w/]+\.(?:json|yaml)\b")
COMMAND = r"pkdr \w|python -m monai\.bundle run |torchrun .*monai\.bundle run "
MONAIS_OWN = {"config_file", "bundle_root", "meta_file", "logging_file", "tracking", "standalone", "nproc_per_node"}
MODULE = re.compile(r"`([\w./*]+\.py)`")
FOLDERS_OF_CODE = ("benchmarks", "docs", "experiments", "pkdr_monai", "tests", "tools")
MODULES = [path.relative_to(ROOT).as_posix() for folder in FOLDERS_OF_CODE for path in (ROOT / folder).rglob("*.py")]
INVENTED = {  # the example in CONTRIBUTING
    "experiments/table1/hint.yaml",
    "pkdr_monai/baselines/hint.py",
    "tests/baselines/test_hint.py",
}


def _text(document: Path) -> str:
    return (ROOT / document).read_text(encoding="utf-8")


def _anchors(text: str) -> set[str]:
    """Return the anchors that GitHub makes of headings."""
    headings = re.findall(r"^#+ (.+)$", text, re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def _code(document: Path) -> list[str]:
    return FENCE.findall(_text(document))


@pytest.mark.parametrize("document", DOCUMENTS, ids=str)
def test_every_link_within_the_repository_leads_somewhere(document: Path) -> None:
    for link in LINK.findall(_text(document)):
        if "://" in link:
            continue
        path, _, anchor = link.partition("#")
        target = (ROOT / document).parent / path if path else ROOT / document
        assert target.exists(), link
        assert not anchor or anchor in _anchors(target.read_text(encoding="utf-8")), link


@pytest.mark.parametrize("document", DOCUMENTS, ids=str)
def test_every_python_block_compiles(document: Path) -> None:
    for code in _code(document):
        compile(code, str(document), "exec")


@pytest.mark.parametrize("document", DOCUMENTS, ids=str)
def test_every_config_that_is_named_is_there(document: Path) -> None:
    missing = {name for name in CONFIG.findall(_text(document)) if not (ROOT / name).is_file()}
    assert missing <= INVENTED


@pytest.mark.parametrize("document", DOCUMENTS, ids=str)
def test_every_module_that_is_named_is_there(document: Path) -> None:
    """By its path in the repository, or by the end of it, such as ``plan.py``."""
    named = set(MODULE.findall(_text(document))) - INVENTED
    assert not {name for name in named if not any(fnmatch(f"/{module}", f"*/{name}") for module in MODULES)}


@pytest.mark.parametrize("document", DOCUMENTS, ids=str)
def test_every_verb_of_the_command_line_that_is_named_is_there(document: Path) -> None:
    groups = {group: set(dir(commands)) for group, commands in vars(Commands()).items()}
    named = re.findall(r"\bpkdr (data|bundle) (\w+)", _text(document))
    assert all(verb in groups[group] for group, verb in named)
    assert set(re.findall(r"^ *(?:\$ )?pkdr (\w+)", _text(document), re.MULTILINE)) <= set(dir(Commands()))


def _commands(document: Path) -> list[list[str]]:
    """Return the command lines of a document, each as its words; what stands for something else is left out."""
    text = _text(document).replace("\\\n", " ")
    lines = (line.strip().removeprefix("$ ") for line in text.splitlines() if re.match(r"^( {4,}|\w)", line))
    return [shlex.split(line, comments=True) for line in lines if re.match(COMMAND, line) and "..." not in line]


def _options(words: list[str]) -> dict[str, Any]:
    """Return the options of a command, read as fire reads them."""
    options = {}
    for word, following in zip(words, [*words[1:], "--"], strict=True):
        if word.startswith("--"):
            name, equals, value = word[2:].partition("=")
            given = value if equals else "true" if following.startswith("--") else following
            options[name] = DefaultParseValue(given)
    return options


@pytest.mark.parametrize("document", DOCUMENTS, ids=str)
def test_every_command_names_options_that_exist(document: Path) -> None:
    for words in _commands(document):
        if words[0] == "pkdr":
            verb = getattr(Commands(), words[1])
            verb = getattr(verb, words[2]) if not inspect.isroutine(verb) and hasattr(verb, words[2]) else verb
            parameters = inspect.signature(verb).parameters
            unknown = {
                name: value for name, value in _options(words).items() if name.replace("-", "_") not in parameters
            }
            if words[1] != "train":
                assert not unknown, words
                continue
            overlays = words[words.index("--overlays") + 1].split(",") if "--overlays" in words else []
            configs = ["bundle/configs/train.json", *overlays]
        else:
            configs = re.findall(r"[\w/]+\.(?:json|yaml)", words[words.index("--config_file") + 1])
            configs = [
                config if config.startswith(("bundle", "experiments")) else f"bundle/{config}" for config in configs
            ]
            unknown = {name: value for name, value in _options(words).items() if name not in MONAIS_OWN}
        if all((ROOT / config).is_file() for config in configs):
            check_overrides(ConfigParser.load_config_files([str(ROOT / config) for config in configs]), unknown)


def test_the_readme_shows_how_the_losses_are_used() -> None:
    import torch

    (code,) = (code for code in _code(Path("README.md")) if "pkdr_monai.losses" in code)
    names: dict[str, torch.Tensor] = {}
    exec(compile(code, "README.md", "exec"), names)
    assert names["loss"].ndim == 0
    assert torch.isfinite(names["loss"])


@pytest.mark.parametrize("number", [0, 1], ids=["one_loss", "all_losses"])
def test_the_scripts_that_use_the_losses_elsewhere_train(number: int) -> None:
    import torch

    names: dict[str, Any] = {}
    exec(compile(_code(Path("docs/losses_elsewhere.md"))[number], "losses_elsewhere.md", "exec"), names)
    assert torch.isfinite(names["loss"])
    assert all(weight.grad is not None for weight in names["student"].parameters())
    assert all(weight.grad is None for weight in names["teacher"].parameters())
