"""A study: a cohort, its split and a budget under one name, and what of them lies on the disk."""

from __future__ import annotations

import functools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from pkdr_monai.data import load_data_list, make_data_list, make_fold_lists
from pkdr_monai.data.checks import Progress
from pkdr_monai.data.layouts import find_cases
from pkdr_monai.data.splits import fold_file
from pkdr_monai.errors import InputError
from pkdr_monai.files import content_hash, read_json, read_object, write_json
from pkdr_monai.studies.cells import DTYPES, PATCH_SIZE

__all__ = ["Study", "choose_study"]

SECTIONS = ("training", "validation", "test")


@dataclass(frozen=True)
class Study:
    """What all runs of a comparison share, and where their files lie.

    Args:
        name: name of the study and of its folders.
        cohort: ``{"kind": "phantom", ...}`` with the arguments of ``write_cohort``, or ``{"kind": "folder", "folder":
            ...}``; ``"fractions"``, ``"split"`` and ``"split_seed"`` divide it, ``"folds"`` and ``"validation"`` for
            cross-validation.
        budget: overlay merged after every method's own: epochs, crop, spacing and the like; ``"patch_size"`` for the
            methods that have patches.
        results: folder that results are kept in, one file a run.
        work: folder for the cohort, checkpoints and logs.
        fold: number of the fold that this is the study of; ``None`` for the whole.
    """

    name: str
    cohort: Mapping[str, Any]
    results: Path
    work: Path
    budget: Mapping[str, Any] = field(default_factory=dict)
    fold: int | None = None

    @property
    def dataset_dir(self) -> Path:
        """Folder of the cases."""
        return self.work / "data" if self.cohort["kind"] == "phantom" else Path(self.cohort["folder"])

    @property
    def data_list_file(self) -> Path:
        """The split, as training reads it."""
        whole = self.work / "datalist.json"
        return whole if self.fold is None else fold_file(whole, self.fold)

    @functools.cached_property
    def parts(self) -> tuple[Study, ...]:
        """The study of each fold; the study itself where it has a single split."""
        folds = self.cohort.get("folds")
        if not folds or self.fold is not None:
            return (self,)
        return tuple(replace(self, fold=fold) for fold in range(folds))

    @property
    def division_file(self) -> Path:
        """What the split was made from: a study with folds and one without may share a folder."""
        return self.work / ("division_folds.json" if self.cohort.get("folds") else "division.json")

    @property
    def budget_file(self) -> Path:
        """The budget, as an overlay that a command line can name."""
        return self.work / "budget.json"

    @functools.cached_property
    def data_list(self) -> dict[str, Any]:
        """The split; :meth:`prepare` writes it."""
        return load_data_list(self.data_list_file)

    @property
    def scored(self) -> str:
        """The section that figures are taken on: the test cases, or the validation cases where there is no test set."""
        return _scored(self.parts[0].data_list)

    @property
    def split_hash(self) -> str:
        """Hash of which case is in which section, and so the same wherever the files were compressed."""
        if len(self.parts) > 1:
            return content_hash([part.split_hash for part in self.parts])
        return _split_hash(self.data_list)

    def prepare(self, progress: Progress | None = None) -> None:
        """Write what is not there yet: the synthetic cases, the split, the budget, and the study's own record.

        A study that is refused leaves the files of the one that is there as they were.

        Raises:
            InputError: when the folder of results holds a study on other data or with another budget, or the folder of
                work a split that was made from something else.
        """
        path = self.results / "study.json"
        found = read_object(path) if path.is_file() else None
        if found is not None:  # before any case is drawn or divided
            _refuse_other(self._asked(), found, self.results)
        budget = {key: value for key, value in self.budget.items() if key != PATCH_SIZE}
        self._refuse_other_budget(budget)
        origin = self._origin()
        self._refuse_other_division(origin)
        lists = self._lists(progress)
        record = self._describe(lists)
        if found is not None:
            _refuse_other(record, found, self.results)
        absent = [(part, each) for part, each in zip(self.parts, lists, strict=True) if not part._is_divided]
        if absent:
            write_json(self.division_file, origin)
        for part, data_list in absent:
            write_json(part.data_list_file, data_list)
        write_json(self.budget_file, budget)
        write_json(path, record)

    def record(self) -> dict[str, Any]:
        """Describe the study as plain data, without a path of this machine."""
        return self._describe([part.data_list for part in self.parts])

    @property
    def _is_divided(self) -> bool:
        return self.data_list_file.is_file()

    def _asked(self) -> dict[str, Any]:
        """Return what of the record does not depend on the files of the cases."""
        cohort = {key: value for key, value in self.cohort.items() if key not in ("folder", "split")}
        return {"name": self.name, "cohort": cohort, "budget": dict(self.budget)}

    def _describe(self, lists: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
        """Return the record of the study, given the data list of each part."""
        hashes = [_split_hash(data_list) for data_list in lists]
        record: dict[str, Any] = {
            **self._asked(),
            "split_hash": hashes[0] if len(lists) == 1 else content_hash(hashes),
            "cases": _sizes(lists[0]),
            "scored": _scored(lists[0]),
        }
        if len(lists) > 1:
            record["folds"] = [
                {"split_hash": split_hash, "cases": _sizes(data_list)}
                for split_hash, data_list in zip(hashes, lists, strict=True)
            ]
            record["cases"] = {"test": sum(fold["cases"]["test"] for fold in record["folds"])}
        return record

    def _origin(self) -> dict[str, Any]:
        """Return what the split is made from: without a path, so that a data set's folder may be moved."""
        drawn = {key: self.cohort.get(key) for key in ("cases", "shape", "spacing", "seed")}
        split = self.cohort.get("split")
        phantom = self.cohort["kind"] == "phantom"
        return {
            "split": None if split is None else content_hash(read_json(split)),
            "split_seed": self.cohort.get("split_seed", 0),
            **{key: self.cohort.get(key) for key in ("folds", "validation", "fractions")},
            "cases": drawn if phantom else sorted(case.name for case in find_cases(self.dataset_dir).cases),
        }

    def _refuse_other_division(self, origin: Mapping[str, Any]) -> None:
        """Refuse a split on the disk that is not the one asked for; one that does not say what it is of is taken."""
        if not any(part._is_divided for part in self.parts):
            return
        if not self.division_file.is_file():  # written before there were such files
            folds = self.parts[0].data_list.get("folds") if self.parts[0]._is_divided else None
            origin, found = {"folds": self.cohort.get("folds")}, {"folds": folds or self.cohort.get("folds")}
        else:
            found = read_object(self.division_file)
        for key, value in origin.items():
            if content_hash(value) != content_hash(found.get(key)):
                raise InputError(
                    f"{self.work} holds another split of the cases: {_other_origin(key, found.get(key), value)}. "
                    "Give this study another --name or --work, or remove that folder."
                )

    def _refuse_other_budget(self, budget: Mapping[str, Any]) -> None:
        """Refuse a folder of work whose runs, which may be under way, read another budget."""
        found = read_object(self.budget_file) if self.budget_file.is_file() else budget
        if content_hash(found) != content_hash(budget):
            raise InputError(
                f"{self.budget_file} is the budget of another study: {_difference(found, budget)}. Give this one "
                "another --name or --work, or remove that file if nothing runs with it."
            )

    def _lists(self, progress: Progress | None) -> list[dict[str, Any]]:
        """Return the data list of each part: those that are there, and new ones that agree with them."""
        divided = [part._is_divided for part in self.parts]
        if all(divided):
            return [part.data_list for part in self.parts]
        if self.cohort["kind"] == "phantom":
            _write_phantom(self.dataset_dir, self.cohort, progress)
        lists = self._divide()
        for part, data_list in zip(self.parts, lists, strict=True):
            if part._is_divided and part.split_hash != _split_hash(data_list):
                raise InputError(
                    f"{part.data_list_file} divides the cases otherwise than this study does. Give this one another "
                    "--name or --work, or remove that file."
                )
        return lists

    def _divide(self) -> list[dict[str, Any]]:
        """Return the data list of each part."""
        seed = self.cohort.get("split_seed", 0)
        if self.cohort.get("folds"):
            return make_fold_lists(self.dataset_dir, self.cohort["folds"], seed, self.cohort.get("validation"))
        if self.cohort["kind"] == "folder":
            return [make_data_list(self.dataset_dir, seed, self.cohort.get("split"))]
        return [make_data_list(self.dataset_dir, fractions=self.cohort["fractions"])]


def _sizes(data_list: Mapping[str, Any]) -> dict[str, int]:
    return {section: len(data_list[section]) for section in SECTIONS}


def _scored(data_list: Mapping[str, Any]) -> str:
    return "test" if data_list["test"] else "validation"


def _split_hash(data_list: Mapping[str, Any]) -> str:
    return content_hash({part: [entry["case"] for entry in data_list[part]] for part in SECTIONS})


def _write_phantom(folder: Path, cohort: Mapping[str, Any], progress: Progress | None) -> None:
    from pkdr_monai.phantom import write_cohort

    chosen = {key: cohort[key] for key in ("cases", "seed")}
    shape, spacing = tuple(cohort["shape"]), tuple(cohort["spacing"])
    write_cohort(folder, **chosen, shape=shape, spacing=spacing, progress=progress)


def _refuse_other(record: Mapping[str, Any], found: Mapping[str, Any], folder: Path) -> None:
    for part in ("cohort", "budget", "split_hash"):
        if part in record and record[part] != found.get(part):
            difference = _difference(found.get(part), record[part])
            raise InputError(f"{folder} holds results of another study: {difference}. Give this one another --name.")


def _difference(found: Any, asked: Any) -> str:
    if not isinstance(found, Mapping) or not isinstance(asked, Mapping):
        return "the cases are divided otherwise"
    keys = [key for key in {**found, **asked} if found.get(key) != asked.get(key)]
    return ", ".join(f"{key} is {found.get(key)} there and {asked.get(key)} here" for key in keys)


def _other_origin(key: str, found: Any, asked: Any) -> str:
    if key == "split":
        return "it was made with another --split file, or with none"
    if isinstance(found, list) and isinstance(asked, list) and key == "cases":
        different = sorted(set(found) ^ set(asked))
        return f"it was made from a folder of other cases, {different[0]} being in one alone"
    return f"{key} is {found} there and {asked} here"


def choose_study(
    presets: str | Path,
    cohort: str,
    *,
    results: str | Path,
    work: str | Path,
    smoke: bool = False,
    preset: str | None = None,
    folds: int | None = None,
    validation: int | None = None,
    name: str | None = None,
    split: str | None = None,
    budget: Mapping[str, Any] | None = None,
) -> Study:
    """Return the study that a cohort and a budget make; nothing is written.

    Args:
        presets: folder with ``phantom.json``, ``smoke.json`` and others, a cohort and a budget each.
        cohort: ``"phantom"``, or the folder of a data set.
        results: folder of all results; the study's own is in it.
        work: folder of all cases, checkpoints and logs; the study's own is in it.
        smoke: tiny cases where the cohort is synthetic, and the tiniest budget.
        preset: name of another preset among ``presets``; its cohort's folder is still ``cohort``.
        folds: divide the cases for cross-validation into that many folds.
        validation: validation patients of each fold.
        name: name of the study; by default that of the preset asked for, or of the cohort, with ``-smoke`` after it
            where it is one.
        split: file with a split of the cases of a data set's folder.
        budget: settings that override those of the preset. A data set's folder has no preset: train.json holds.

    Raises:
        InputError: when the folder or the preset is absent, options exclude each other, or the budget cannot be one.
    """
    phantom = cohort == "phantom"
    if phantom and split:
        raise InputError("--split divides the cases of a data set's folder; synthetic cases have their own split.")
    if folds and split:
        raise InputError("--folds and --split exclude each other: choose the one or the other.")
    if not phantom and not Path(cohort).is_dir():
        raise InputError(f"no cohort {cohort!r}: expected phantom, or the folder of a data set.")
    content = _preset(Path(presets), preset or ("smoke" if smoke else "phantom"), preset, phantom)
    chosen = name or preset or (Path(cohort).absolute().name + ("-smoke" if smoke else ""))
    if Path(chosen).name != chosen:
        raise InputError(f"the name of a study is that of a folder, so it cannot be {chosen!r}. Choose another --name.")
    described = content["cohort"] if phantom or preset else {"kind": "folder", "split": split}
    parts = {"folds": folds, "validation": validation}
    described = {**described, **{key: value for key, value in parts.items() if value is not None}}
    if described.get("validation") is not None and not described.get("folds"):
        raise InputError("--validation is the number of validation patients of a fold: it needs --folds.")
    shared = {**(content["budget"] if phantom or smoke or preset else {}), **(budget or {})}
    _refuse_impossible(shared)
    return Study(
        name=chosen,
        cohort=described if phantom else {**described, "folder": cohort},
        budget=shared,
        results=Path(results) / chosen,
        work=Path(work) / chosen,
    )


def _refuse_impossible(budget: Mapping[str, Any]) -> None:
    """Refuse a budget with which nothing can be trained, or whose results would not be those of one experiment."""
    for option, key in (("--epochs", "max_epochs"), ("--crop", "roi_size"), ("--spacing", "spacing")):
        value = budget.get(key)
        numbers = [number for number in (value if isinstance(value, list) else [value]) if number is not None]
        if any(
            isinstance(number, int | float) and (number <= 0 or (number < 1 and key != "spacing")) for number in numbers
        ):
            least = "above 0" if key == "spacing" else "of 1 or more"
            raise InputError(f"{key} is {value}: expected {option} {least}.")
    for name in DTYPES:
        if "auto" in (budget.get(name), budget.get(f"distiller#{name}")):
            raise InputError(
                f"{name} is auto, which each machine reads otherwise: in a study, choose bfloat16 or float32."
            )


def _preset(folder: Path, name: str, asked: str | None, phantom: bool) -> dict[str, Any]:
    """Read a preset, and refuse one that was asked for and does not fit the cohort."""
    path = folder / f"{name}.json"
    if not path.is_file():
        known = ", ".join(sorted(file.stem for file in folder.glob("*.json")))
        raise InputError(f"no study {name!r}: expected one of {known}.")
    content: dict[str, Any] = read_json(path)
    if asked and (content["cohort"]["kind"] == "phantom") is not phantom:
        kind = "synthetic cases" if not phantom else "the folder of a data set: name it with --cohort"
        raise InputError(f"study {name!r} is one on {kind}.")
    return content
