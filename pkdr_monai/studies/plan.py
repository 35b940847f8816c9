"""From cells, modalities and seeds to jobs: each a training with its evaluations, whatever number of tables show it."""

from __future__ import annotations

import functools
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pkdr_monai.errors import InputError
from pkdr_monai.files import read_object
from pkdr_monai.modalities import parse_modalities
from pkdr_monai.studies.cells import Cell, Repository
from pkdr_monai.studies.results import ET_RULE
from pkdr_monai.studies.study import Study
from pkdr_monai.workflow import command_line

__all__ = ["Job", "make_plan"]

_Kind = tuple[str | None, str]

TEACHER_SEED = 0  # a teacher is trained once and shared by the students of all seeds


@dataclass(frozen=True, eq=False)
class Job:
    """One training and its evaluations: a list of bundle commands, and the result files that they end in.

    Args:
        name: name of its folder.
        cells: all cells of which these are the settings.
        configs: config files of the training, in their order.
        options: overrides of the training.
        modality: what the network is trained on.
        evaluated: modalities that it is evaluated on.
        seed: seed of the run.
        settings_hash: hash of all that determines the result.
        method_hash: hash of the settings alone, the same for all seeds, modalities, folds and teachers.
        teacher: the job that trains its teacher.
        study: the study that it is part of, or the fold of it.
        further: settings that the budget means for this method alone.
    """

    name: str
    cells: tuple[str, ...]
    configs: tuple[Path, ...]
    modality: str
    evaluated: tuple[str, ...]
    seed: int
    settings_hash: str
    method_hash: str
    teacher: Job | None
    study: Study
    further: Mapping[str, Any] = field(default_factory=dict)

    @functools.cached_property
    def output_dir(self) -> Path:
        """Folder of checkpoints, history and logs: of these settings on this split of the cases.

        A folder of before, whose name does not have the split, is kept where its run is one on the same data list.
        """
        before = self.study.work / "runs" / f"{self.name}_{self.settings_hash[:8]}"
        if _trained_on(before / "run.json") == self.study.data_list["hash"]:
            return before
        return before.with_name(f"{before.name}_{self.study.split_hash[:8]}")

    @property
    def is_trained(self) -> bool:
        """Whether the training ended.

        Raises:
            InputError: when what is in its folder was trained on another data list, and so must not be continued.
        """
        path = self.output_dir / "run.json"
        if not path.is_file():
            return False
        if _trained_on(path) != self.study.data_list["hash"]:
            raise InputError(
                f"{self.output_dir} holds a training on another data list than {self.study.data_list_file}. Give this "
                "study another --name or --work, or remove that folder."
            )
        return bool(read_object(path).get("status") == "finished")

    @property
    def todo(self) -> list[str]:
        """Modalities without a result of these settings on these cases."""
        return [modality for modality in self.evaluated if not self._is_done(modality)]

    @property
    def training(self) -> tuple[str, list[Path], dict[str, Any]]:
        """Run id, config files and overrides of the training."""
        options = {**self._common(self.modality), "resume": True}
        if self.teacher is not None:
            options["teacher_checkpoint"] = str(self.teacher.output_dir / "models" / "model.pt")
        return "training", [*self.configs, self.study.budget_file], options

    def evaluation(self, modality: str) -> tuple[str, list[Path], dict[str, Any]]:
        """Run id, config files and overrides of an evaluation."""
        train, *overlays = self.configs
        options = {
            **self._common(modality),
            "evaluation_split": self.study.scored,
            "evaluation_dir": str(self.evaluation_dir(modality)),
            "et_rule": ET_RULE,
        }
        files = [train, train.with_name("evaluate.json"), *overlays, self.study.budget_file]
        return "evaluating", files, options

    def result_file(self, modality: str) -> Path:
        """Where the figures of an evaluation are kept."""
        return self.study.results / "runs" / f"{self.name}_on_{modality}.json"

    def evaluation_dir(self, modality: str) -> Path:
        """Folder of the tables that an evaluation writes."""
        return self.output_dir / f"evaluation_{modality}"

    def commands(self) -> list[str]:
        """Return the job as the commands that do the same by hand."""
        steps = [self.training, *map(self.evaluation, self.evaluated)]
        return [command_line(*step) for step in steps]

    def _is_done(self, modality: str) -> bool:
        path = self.result_file(modality)
        found = read_object(path) if path.is_file() else {}
        hashes = {"config_hash": self.settings_hash, "split_hash": self.study.split_hash}
        return all(found.get(key) == value for key, value in hashes.items())

    def _common(self, modality: str) -> dict[str, Any]:
        return {
            "dataset_dir": str(self.study.dataset_dir),
            "data_list_file": str(self.study.data_list_file),
            "output_dir": str(self.output_dir),
            "run_name": self.name,
            "modality": modality,
            "seed": self.seed,
            **self.further,
        }


def make_plan(
    repository: Repository,
    study: Study,
    cells: Collection[Cell],
    modalities: Sequence[str],
    seeds: Sequence[int],
    folds: Sequence[int] | None = None,
) -> list[Job]:
    """List the jobs that fill the cells, each teacher before its students, fold after fold where a study has folds.

    Args:
        repository: where the cells are from.
        study: cohort, budget and folders.
        cells: methods to run.
        modalities: what students see, as :func:`~pkdr_monai.modalities.expand_modalities` names it; methods that fix
            their own pass it by.
        seeds: seeds of every method; teachers that only serve have seed 0.
        folds: numbers of the folds to run, all by default.

    Raises:
        InputError: when the study has no fold of such a number, or a cell leaves its data type to the machine.
    """
    unknown = [fold for fold in folds or () if not 0 <= fold < len(study.parts) or len(study.parts) == 1]
    if unknown:
        have = f"its folds are 0 to {len(study.parts) - 1}" if len(study.parts) > 1 else "it has a single split"
        raise InputError(f"study {study.name} has no fold {unknown[0]}: {have}.")
    jobs: list[Job] = []
    kinds = {cell.name: _kind(cell, study) for cell in repository.cells.values()}
    for part in study.parts if folds is None else [study.parts[fold] for fold in folds]:
        planner = _Planner(repository, part, modalities, kinds)
        for seed in seeds:
            for cell in cells:
                for modality in [cell.fixed_modality] if cell.fixed_modality else modalities:
                    planner.add(cell, modality, seed)
        jobs += planner.jobs.values()
    return jobs


class _Planner:
    """Collects jobs by the hash of their settings; cells of one hash become one job."""

    def __init__(
        self, repository: Repository, study: Study, modalities: Sequence[str], kinds: Mapping[str, _Kind]
    ) -> None:
        self.repository, self.study, self.modalities = repository, study, modalities
        self.jobs: dict[str, Job] = {}
        self._kinds = kinds

    def add(self, cell: Cell, modality: str, seed: int) -> Job:
        cell.refuse_auto(self.study.budget)
        teacher_cell = self.repository.teacher_of(cell)
        teacher = None if teacher_cell is None else self.add(teacher_cell, "all", TEACHER_SEED)
        further = {"modality": parse_modalities(modality), "seed": seed, "teacher": teacher and teacher.settings_hash}
        key = cell.settings_hash(self.study.budget, **further)
        if key not in self.jobs:
            kind = _kind(cell, self.study)
            fold = "" if self.study.fold is None else f"_fold{self.study.fold}"
            names = sorted({cell.name, *(name for name, other in self._kinds.items() if other == kind)})
            self.jobs[key] = Job(
                name=f"{names[0].replace('/', '_')}_{modality}_seed{seed}{fold}",
                cells=tuple(names),
                configs=(self.repository.train, *cell.overlays),
                modality=modality,
                evaluated=tuple(self.modalities) if cell.serves_subsets else (modality,),
                seed=seed,
                settings_hash=key,
                method_hash=kind[1],
                teacher=teacher,
                study=self.study,
                further=cell.patch_settings(self.study.budget),
            )
        return self.jobs[key]


def _trained_on(path: Path) -> str | None:
    """Return the hash of the data list that a run's record names, if there is one."""
    data_list = read_object(path).get("data_list") if path.is_file() else None
    return data_list.get("hash") if isinstance(data_list, dict) else None


def _kind(cell: Cell, study: Study) -> _Kind:
    """Return what two cells share when they are one experiment under two names."""
    return cell.teacher_run, cell.settings_hash(study.budget)
