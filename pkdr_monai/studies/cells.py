"""The rows of the paper's tables as files: one YAML overlay each, found by looking, so that a new one needs no list."""

from __future__ import annotations

import copy
import functools
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from monai.bundle import ConfigParser
from monai.bundle.utils import merge_kv

from pkdr_monai.errors import InputError
from pkdr_monai.files import content_hash, file_hash

__all__ = ["PATCH_SIZE", "Cell", "Repository"]

ROOTS = ("train", "validate", "distiller", "loss", "optimizer", "lr_scheduler", "val_interval")
"""Where what a run computes begins in ``train.json``; what these refer to follows."""

BOOKKEEPING = (
    "run_name", "output_dir", "ckpt_dir", "dataset_dir", "data_list_file", "data_list", "device", "modality",
    "modalities", "seed", "resume", "checkpoint_interval", "cache_rate", "num_workers", "teacher_checkpoint",
    "settings", "training", "evaluation_dir",
)  # fmt: skip
"""Settings that say where a run lies and how it is watched; modalities and seed are hashed apart."""

PATCH_SIZE = "patch_size"
"""Setting of a budget that is no setting of ``train.json``: side of a patch in voxels, for the methods with patches."""

HANDLED = ("initial_weights", "weight_average")
"""Settings that handlers alone refer to: they count where an overlay or a budget sets them."""

DTYPES = ("student_dtype", "teacher_dtype")
TEACHER_WEIGHTS = "@teacher_checkpoint"

NESTING = "pkdr_monai.data.transforms.NestedRegionsd"
PATCH_NETWORK = "pkdr_monai.networks.PatchVNet"
PATCH_LOSS = "pkdr_monai.losses.PatchSelectionLoss"
PKDR_LOSS = "pkdr_monai.losses.PKDRLoss"


@dataclass(frozen=True)
class Cell:
    """One method of one table: the overlays after ``train.json`` that train it.

    Args:
        name: table and method, such as ``"table1/pkdr"``.
        overlays: files after ``train.json``, in their order.
        merged: ``train.json`` with the overlays in it.
    """

    name: str
    overlays: tuple[Path, ...]
    merged: Mapping[str, Any]

    @property
    def fixed_modality(self) -> str | None:
        """The modalities that the method trains on whatever is asked for; ``None`` where it is free."""
        return self.merged["modality"] if any("modality" in _read(overlay) for overlay in self.overlays) else None

    @property
    def serves_subsets(self) -> bool:
        """Whether one training is evaluated on every subset asked for, each in an ``evaluation_dir`` of its own."""
        return any("evaluation_dir" in _read(overlay) for overlay in self.overlays)

    @property
    def teacher_run(self) -> str | None:
        """Name of the run whose weights the method learns or begins from: NAME in ``runs/NAME/models/model.pt``."""
        begins = self.merged.get("initial_weights") == TEACHER_WEIGHTS
        if self.merged["distiller"].get("teacher") is None and not begins:
            return None
        return Path(self.merged["teacher_checkpoint"]).parts[1]

    def with_budget(self, budget: Mapping[str, Any]) -> ConfigParser:
        """Return the settings of the method with a budget after them."""
        parser = ConfigParser(copy.deepcopy(dict(self.merged)))
        shared = {key: value for key, value in budget.items() if key != PATCH_SIZE}
        for key, value in {**shared, **self.patch_settings(budget)}.items():
            merge_kv(parser, key, copy.deepcopy(value))  # as the bundle does with the file of the budget
        return parser

    def refuse_auto(self, budget: Mapping[str, Any]) -> None:
        """Refuse a data type that each machine chooses by itself: runs in two types would count as one experiment.

        Raises:
            InputError: when ``student_dtype`` or ``teacher_dtype`` is ``"auto"``.
        """
        config = self.with_budget(budget).get()
        for name in DTYPES:
            if "auto" in (config.get(name), config["distiller"].get(name)):
                raise InputError(
                    f"{self.name}: {name} is auto, which each machine reads otherwise: in a study, choose bfloat16 or "
                    "float32."
                )

    def patch_settings(self, budget: Mapping[str, Any]) -> dict[str, Any]:
        """Return the settings by which a budget's ``"patch_size"`` reaches what has patches; empty for other methods.

        Only a method that selects patches has them: a student that learns with :class:`~pkdr_monai.losses.PKDRLoss`,
        that loss, and a teacher with a patch head. What sets a patch size of its own keeps it.
        """
        size = budget.get(PATCH_SIZE)
        if size is None:
            return {}
        network, teacher, loss = (self.merged.get(key) or {} for key in ("network_def", "teacher_def", "loss"))
        settings: dict[str, Any] = {}
        if (loss.get("_target_"), network.get("_target_")) == (PKDR_LOSS, PATCH_NETWORK) and PATCH_SIZE not in network:
            settings["network_def#patch_size"] = size
            if "patch_selection" not in loss:
                settings["loss#patch_selection"] = {"_target_": PATCH_LOSS, PATCH_SIZE: size}
        if teacher.get("_target_") == PATCH_NETWORK and teacher.get("patch_head") and PATCH_SIZE not in teacher:
            settings["teacher_def#patch_size"] = size
        return settings

    def settings_hash(self, budget: Mapping[str, Any], **further: Any) -> str:
        """Hash what determines the result; two cells of one hash are one experiment under two names.

        Args:
            budget: overlay that sets epochs, crop and the like, merged last.
            further: what else the result hangs on: modality, seed, the hash of the teacher.
        """
        config = self.with_budget(budget).get()
        layers = [*map(_read, self.overlays), budget]
        for engine in ("train", "validate"):  # those of train.json, unless something is changed, only watch the run
            if not any(_sets_handlers(layer, engine) for layer in layers):
                config[engine].pop("handlers", None)
        if config.get("scoring") == "channels":
            _forget_nesting(config)
        if config.get("incomplete") is False:
            _forget_incomplete(config)
        own = {_place(key)[0] for overlay in self.overlays for key in _read(overlay)}
        own |= {key for key in HANDLED if budget.get(key) is not None}
        if config.get("initial_weights") not in (None, TEACHER_WEIGHTS):
            config["initial_weights"] = _weights(config["initial_weights"])
            own.add("initial_weights")
        used = {key: config[key] for key in _reachable(config, {*ROOTS, *own})}
        return content_hash({"config": used, **further})


class Repository:
    """A checkout of the project: its bundle and the cells under ``experiments/``.

    Args:
        root: the folder that holds ``bundle/`` and ``experiments/``.

    Raises:
        InputError: when it does not hold them.
    """

    def __init__(self, root: str | Path) -> None:
        self.root = Path(root)
        self.configs = self.root / "bundle" / "configs"
        self.train = self.configs / "train.json"
        if not self.train.is_file() or not (self.root / "experiments").is_dir():
            raise InputError(
                f"{self.root.absolute()} is no checkout of the project: expected bundle/configs/train.json and "
                "experiments/ in it. Run the command from one."
            )

    @classmethod
    def find(cls) -> Repository:
        """Return the checkout that is the current folder, or the one that the package is imported from."""
        package = Path(__file__).resolve().parents[2]
        return cls(package if (package / "experiments").is_dir() and not Path("experiments").is_dir() else Path())

    @functools.cached_property
    def cells(self) -> dict[str, Cell]:
        """All cells by name, the two teachers of the paper's tables among them."""
        files = sorted((self.root / "experiments").glob("*/*.yaml"))
        cells = [self.cell(f"{file.parent.name}/{file.stem}", file) for file in files]
        cells.append(self.cell("bundle/teacher", self.configs / "train_teacher.json"))
        return {cell.name: cell for cell in cells}

    def cell(self, name: str, *overlays: Path) -> Cell:
        """Merge overlays after ``train.json``."""
        merged = ConfigParser.load_config_files([str(file) for file in (self.train, *overlays)])
        return Cell(name, overlays, merged)

    def select(self, words: str) -> list[Cell]:
        """Return the cells that the words name.

        Args:
            words: with commas between them, tables (``table1``), cells (``table1/pkdr``), ``all``, or YAML files.

        Raises:
            InputError: when a word names nothing.
        """
        selected: dict[str, Cell] = {}
        for word in (word.strip().rstrip("/") for word in words.split(",")):
            found = self._named(word)
            if not found:
                tables = sorted({name.split("/")[0] for name in self.cells})
                raise InputError(
                    f"no experiment {word!r}: expected a table ({', '.join(tables)}), a cell such as table1/pkdr, "
                    "a YAML file, or all."
                )
            selected |= {cell.name: cell for cell in found}
        return list(selected.values())

    def teacher_of(self, cell: Cell) -> Cell | None:
        """Return the cell that trains the teacher of ``cell``; ``None`` where it learns from none.

        Raises:
            InputError: when no config trains a run of that name.
        """
        run = cell.teacher_run
        if run is None:
            return None
        if run == "teacher":
            return self.cells["bundle/teacher"]
        for other in (cell, *self.cells.values()):
            if other.merged["run_name"] == run:
                return other
            if run == f"teacher_{other.name.split('/')[-1]}":
                own = (*other.overlays, self.configs / "train_teacher.json")
                return self.cell(f"{other.name}_teacher", *own)
        raise InputError(f"{cell.name}: no config trains the teacher runs/{run} that its teacher_checkpoint names.")

    def _named(self, word: str) -> list[Cell]:
        if word.endswith((".yaml", ".yml", ".json")) and Path(word).is_file():
            file = Path(word)
            return [self.cell(f"{file.absolute().parent.name}/{file.stem}", file)]
        names = [name for name in self.cells if word in ("all", name, name.split("/")[0])]
        return [self.cells[name] for name in names]


@functools.cache
def _read(overlay: Path) -> dict[str, Any]:
    return ConfigParser.load_config_file(str(overlay))


def _place(key: str) -> list[str]:
    """Return the way to a setting, such as ``["train", "handlers", "4"]`` for ``"+train#handlers#4"``."""
    return re.split("::|#", key.removeprefix("+"))


def _sets_handlers(settings: Mapping[str, Any], engine: str) -> bool:
    """Return whether settings reach what is called in the course of a training or a validation."""
    places = [(_place(key), value) for key, value in settings.items()]
    return any(
        place[:2] == [engine, "handlers"] or (place == [engine] and isinstance(value, dict) and "handlers" in value)
        for place, value in places
    )


def _weights(path: Any) -> Any:
    """Return the hash of a file of weights; the path where there is no such file here."""
    if not isinstance(path, str) or not Path(path).is_file():
        return path
    status = Path(path).stat()
    return _file_hash(path, status.st_mtime_ns, status.st_size)


@functools.cache
def _file_hash(path: str, changed: int, size: int) -> str:
    return file_hash(path)


def _forget_nesting(config: dict[str, Any]) -> None:
    """Take out what scores label maps, where it is off: results from before it was there keep their hash."""
    config.pop("scoring")
    postprocessing = config["validate"]["postprocessing"]
    postprocessing["transforms"] = [
        transform for transform in postprocessing["transforms"] if transform.get("_target_") != NESTING
    ]


def _forget_incomplete(config: dict[str, Any]) -> None:
    """Take out what takes incomplete cases, where it is off: results from before it was there keep their hash."""
    config.pop("incomplete")
    config["distiller"].pop("incomplete", None)
    dataset = config["train"]["dataset"]
    if isinstance(dataset.get("data"), str):
        dataset["data"] = dataset["data"].replace(", incomplete=@incomplete", "")


def _reachable(config: Mapping[str, Any], start: set[str]) -> set[str]:
    """Return the top-level keys that the values of others refer to as ``@key``, from ``start`` on."""
    reached, new = set[str](), start
    while new:
        reached |= new
        text = json.dumps([config[key] for key in new if key not in BOOKKEEPING and key in config], default=str)
        new = (set(re.findall(r"@(\w+)", text)) & set(config)) - reached
    return {key for key in reached if key not in BOOKKEEPING and key in config}
