"""Run the bundle in this process, as ``python -m monai.bundle run`` does, and write the line that does the same."""

from __future__ import annotations

import json
import shlex
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from fire.parser import DefaultParseValue
from yaml import YAMLError

from pkdr_monai.errors import InputError

__all__ = ["as_config_text", "command_line", "find_configs", "load_configs", "run_bundle"]


def run_bundle(run_id: str, configs: Sequence[Path], options: Mapping[str, Any]) -> None:
    """Run a part of the bundle.

    Args:
        run_id: ``"training"`` or ``"evaluating"``.
        configs: config files; later ones go before earlier ones.
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
    """Return what config files say together; later ones go before earlier ones.

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
