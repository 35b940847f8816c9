"""The bundle's configs: run them as ``python -m monai.bundle run`` does, merge them, and check overrides of them."""

from __future__ import annotations

import difflib
import inspect
import json
import pydoc
import shlex
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fire.parser import DefaultParseValue
from yaml import YAMLError

from pkdr_monai.errors import InputError

if TYPE_CHECKING:
    from monai.bundle import ComponentLocator

__all__ = ["as_config_text", "check_overrides", "command_line", "find_configs", "load_configs", "run_bundle"]

SEPARATOR = "#"


def run_bundle(run_id: str, configs: Sequence[Path], options: Mapping[str, Any]) -> None:
    """Run a part of the bundle.

    Args:
        run_id: ``"training"`` or ``"evaluating"``.
        configs: config files; later files override earlier ones.
        options: overrides of single settings, by id.
    """
    from monai.bundle import ConfigWorkflow

    files = [str(config) for config in configs]
    settings = {key: as_config_text(value) for key, value in options.items()}
    workflow = ConfigWorkflow(config_file=files, workflow_type="train", run_id=run_id, **settings)
    workflow.initialize()
    workflow.run()
    workflow.finalize()


def load_configs(files: Sequence[Path]) -> dict[str, Any]:
    """Return what config files say together; later files override earlier ones.

    Raises:
        InputError: when a file is absent, or is no config.
    """
    from monai.bundle import ConfigParser

    for file in files:
        if not file.is_file():
            raise InputError(f"no config file {file}: check --overlays.")
        try:
            content = ConfigParser.load_config_file(str(file))
        except (ValueError, RecursionError, YAMLError) as error:
            raise InputError(f"{file} is not valid JSON or YAML ({str(error).splitlines()[0]}). Repair it.") from error
        if not isinstance(content, dict) or not all(isinstance(key, str) for key in content):
            raise InputError(f"{file} is no config: expected settings by their names. Repair it.")
    try:
        return ConfigParser.load_config_files([str(file) for file in files])
    except (LookupError, ValueError, TypeError) as error:
        raise InputError(f"{', '.join(map(str, files))} do not go together: {error}. Check their keys.") from error


def command_line(run_id: str, configs: Sequence[Path], options: Mapping[str, Any]) -> str:
    """Return what :func:`run_bundle` does as a line for a shell.

    Example:
        >>> print(command_line("training", [Path("configs/train.json")], {"modality": "t2"}))
        python -m monai.bundle run training --config_file "['configs/train.json']" --modality t2
        >>> print(command_line("training", [], {"run_name": "2024"}))
        python -m monai.bundle run training --config_file "[]" --run_name '"2024"'
    """
    files = ",".join(f"'{file}'" for file in configs)
    words = [f"--{key} {shlex.quote(_as_word(value))}" for key, value in options.items()]
    return " ".join([f'python -m monai.bundle run {run_id} --config_file "[{files}]"', *words])


def as_config_text(value: Any) -> Any:
    """Return a value that a config keeps as it is: MONAI reads ``#`` in any text as the separator of its ids.

    Expressions and references, which begin with ``$``, ``@`` or ``%``, are left alone.

    Example:
        >>> print(as_config_text("out#2"))
        $'out\\x232'
    """
    if not isinstance(value, str) or "#" not in value or value.startswith(("$", "@", "%")):
        return value
    return "$" + repr(value).replace("#", r"\x23").replace("@", r"\x40")


def _as_word(value: Any) -> str:
    """Write a value as a word that MONAI's command line reads as that value, and text as text."""
    value = as_config_text(value)
    if isinstance(value, str) and not isinstance(DefaultParseValue(value), str):
        return json.dumps(value)
    return str(value)


def find_configs() -> Path:
    """Return the folder of the bundle's configs: of the checkout or bundle that is at hand, or that holds the package.

    Raises:
        InputError: when there is none.
    """
    package = Path(__file__).resolve().parents[1]
    places = [Path("bundle", "configs"), Path("configs"), package / "bundle" / "configs", package / "configs"]
    for place in places:
        if (place / "train.json").is_file():
            return place
    raise InputError(
        f"no bundle here: expected bundle/configs/train.json or configs/train.json in {Path().absolute()}. "
        "Run the command in a checkout of the project, or in an unpacked bundle."
    )


def check_overrides(config: Mapping[str, Any], overrides: Mapping[str, Any]) -> None:
    """Refuse a key that changes nothing, and name the nearest that would; refuse text in place of a number.

    A key is known when the config holds it, or when it is an argument of the class that its parent builds. A value has
    to be of the kind of the one that it replaces, where that is a number, a switch or a list of numbers; expressions of
    MONAI, which begin with ``$``, ``@`` or ``%``, may stand anywhere.

    Args:
        config: merged config, as it is before it is parsed.
        overrides: values by ids with ``#`` between their parts, such as ``"loss#beta"``.

    Raises:
        InputError: when a key is unknown, or a value is of another kind.

    Example:
        >>> check_overrides({"max_epochs": 3}, {"max_epohcs": 4})
        Traceback (most recent call last):
        ...
        pkdr_monai.errors.InputError: unknown key 'max_epohcs'; did you mean 'max_epochs'?
    """
    from monai.bundle import ComponentLocator

    locator = ComponentLocator()
    for key, value in overrides.items():
        replaced = _replaced(config, key, locator)
        if not _fits(replaced, value):
            raise InputError(f"expected {key} to be of the kind of {replaced!r}, got {value!r}.")


def _fits(replaced: Any, value: Any) -> bool:
    """Return whether a value is of the kind of the one that it replaces."""
    if isinstance(value, str) and value.startswith(("$", "@", "%")):
        return True
    if isinstance(replaced, bool):
        return str(value).lower() in ("true", "false")
    if isinstance(replaced, int | float):
        kinds = int if isinstance(replaced, int) else int | float
        return isinstance(value, kinds) and not isinstance(value, bool)
    if isinstance(replaced, list) and replaced and all(isinstance(part, int | float) for part in replaced):
        same = isinstance(value, list | tuple) and len(value) == len(replaced)
        return same and all(isinstance(part, int | float) and not isinstance(part, bool) for part in value)
    return True


def _replaced(config: Mapping[str, Any], key: str, locator: ComponentLocator) -> Any:
    """Return what a key stands for in the config, ``None`` where it is an argument that is left to its default.

    Raises:
        InputError: when the key is unknown.
    """
    node: Any = config
    parts = key.split(SEPARATOR)
    for depth, part in enumerate(parts):
        known = _names_in(node, locator)
        if part not in known:
            raise InputError(f"unknown key {key!r}{_suggestion(parts[:depth], part, known)}")
        node = _child(node, part)
    return node


def _names_in(node: Any, locator: ComponentLocator) -> list[str]:
    """Return the keys that a node of the config has or could have."""
    if isinstance(node, Sequence) and not isinstance(node, str):
        return [str(index) for index in range(len(node))]
    if not isinstance(node, Mapping):
        return []
    return [*map(str, node), *_arguments_of(node, locator)]


def _arguments_of(node: Mapping[str, Any], locator: ComponentLocator) -> list[str]:
    """Return the arguments of the class or function that a node builds."""
    from monai.bundle import ConfigComponent

    if not ConfigComponent.is_instantiable(node):
        return []
    target = pydoc.locate(str(ConfigComponent(dict(node), "", locator).resolve_module_name()))
    if not callable(target):
        return []
    return [name for name in inspect.signature(target).parameters if name != "self"]


def _child(node: Any, part: str) -> Any:
    return node[int(part)] if isinstance(node, Sequence) else node.get(part)


def _suggestion(parents: Sequence[str], part: str, known: Sequence[str]) -> str:
    if not known:
        return f": {SEPARATOR.join(parents)} holds no other keys."
    # "epochs" is nearer to "max_epochs" than its letters say
    near = [name for name in known if part.lower() in name.split("_")] or difflib.get_close_matches(part, known, 1, 0.5)
    if near:
        return f"; did you mean {SEPARATOR.join([*parents, near[0]])!r}?"
    return f": expected one of {', '.join(SEPARATOR.join([*parents, name]) for name in sorted(known))}."
