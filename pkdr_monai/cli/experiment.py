"""``pkdr experiment``: run any cell of the paper's tables on any cohort, and put the figures side by side."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import fire

from pkdr_monai.arguments import choice, integer, integers, names, switch, triple
from pkdr_monai.files import read_json, read_object
from pkdr_monai.terminal import ProgressLine, command, echo

if TYPE_CHECKING:
    from pkdr_monai.studies import Cell, Executor, Job, Repository, Study

__all__ = ["Experiment"]


class Experiment:
    """Run the experiments of the paper's tables, and put the figures side by side.

    For example, to try a whole table in minutes on tiny synthetic cases, to see what a study would take, to run it, and
    to write its tables and figures again:

        pkdr experiment table1 --cohort phantom --smoke

        pkdr experiment table1,table3 --cohort BraTS2018 --seeds 0,1,2 --dry_run

        pkdr experiment table1,table3 --cohort BraTS2018 --seeds 0,1,2

        pkdr experiment report experiments/results/BraTS2018

    With few cases, every case is tested once in one of three folds:

        pkdr experiment table1 --cohort BraTS2018 --folds 3 --seeds 0,1

    A run is done when its result file holds the hash of the same settings and of the same split of the cases. Killed
    and repeated, the command continues where it was. A run that fails does not stop the others.

    Args:
        what: tables, cells or YAML files, with commas between them: table1, table3/without_patch_kd, all.
        cohort: phantom for synthetic cases, or a data set's folder, as pkdr data check takes it.
        modalities: what students see; t1+flair is a pair, subsets stands for all 15.
        seeds: seeds of each method; a teacher that only serves has seed 0.
        smoke: tiny cases, tiny networks, two epochs: does everything run?
        study: cohort and budget of a file in experiments/studies, such as brats2018-24; --cohort names the folder.
        folds: run every method on that many folds, and pool their test cases; each case is tested once.
        only_folds: run these folds alone for now, such as 0,1; tables show the cases that there are.
        validation: validation patients of each fold; by default one sixth of all.
        name: name of the study, and of its folder of results; by default the cohort's.
        split: a JSON file {"train": [names], "val": [names], "test": [names]}; by default 70/10/20.
        budget: a JSON file of the bundle's settings that all runs share; the three options below override it.
        epochs: epochs of every training.
        crop: voxels of a training crop along each axis.
        spacing: size of a voxel in mm.
        executor: local, or slurm for a cluster.
        workers: how many runs at a time on this machine.
        slurm: a JSON file of settings for submitit, such as {"slurm_partition": "gpu", "gpus_per_node": 1}.
        results: folder of the results.
        work: folder for synthetic cases, checkpoints and logs.
        dry_run: only print the plan.
    """

    @command(
        modalities=names,
        seeds=integers,
        folds=integer,
        only_folds=integers,
        validation=integer,
        epochs=integer,
        crop=triple(int),
        spacing=triple(float),
        executor=choice("local", "slurm"),
        workers=integer,
        smoke=switch,
        dry_run=switch,
    )
    def __call__(
        self,
        what: str,
        *,
        cohort: str = "phantom",
        modalities: Sequence[str] = ("t1", "t1ce", "t2", "flair"),
        seeds: Sequence[int] = (0,),
        smoke: bool = False,
        study: str | None = None,
        folds: int | None = None,
        only_folds: Sequence[int] | None = None,
        validation: int | None = None,
        name: str | None = None,
        split: str | None = None,
        budget: str | None = None,
        epochs: int | None = None,
        crop: tuple[int, int, int] | None = None,
        spacing: tuple[float, float, float] | None = None,
        executor: str = "local",
        workers: int = 1,
        slurm: str | None = None,
        results: str = "experiments/results",
        work: str = "runs",
        dry_run: bool = False,
    ) -> None:
        """Print what there is to run, run what has no result yet, and print the tables."""
        from pkdr_monai.modalities import expand_modalities
        from pkdr_monai.studies import Repository, choose_study, make_plan, open_jobs, run_plan

        repository = Repository.find()
        cells = repository.select(what)
        own = {"max_epochs": epochs, "roi_size": crop and list(crop), "spacing": spacing and list(spacing)}
        shared = {
            **(read_object(budget) if budget else {}),
            **{key: value for key, value in own.items() if value is not None},
        }
        presets = repository.root / "experiments" / "studies"
        chosen = choose_study(
            presets,
            cohort,
            results=results,
            work=work,
            smoke=smoke,
            preset=study,
            folds=folds,
            validation=validation,
            name=name,
            split=split,
            budget=shared,
        )
        chosen.prepare(ProgressLine("preparing"))
        plan = make_plan(repository, chosen, cells, expand_modalities(modalities), seeds, only_folds)
        place = _executor(executor, workers, slurm, chosen)
        expected = _tell_plan(repository, chosen, plan, workers)
        if dry_run:
            return
        failed = run_plan(plan, place, echo, expected) if any(open_jobs(plan)) else []
        _tell_results(repository, chosen, cells)
        if failed:
            raise SystemExit(1)

    # fire looks for the readers of the arguments on the object that it calls
    _fire_metadata = fire.decorators.GetMetadata(__call__)

    @command()
    def report(self, results: str) -> None:
        """Write the tables and figures of a study from its results.

        Example: pkdr experiment report experiments/results/phantom

        Args:
            results: folder of the study's results.
        """
        from pkdr_monai.studies import Repository
        from pkdr_monai.studies.report import write_report

        for path in write_report(Path(results), Repository.find().root / "experiments" / "tables.json"):
            echo(str(path))


def _executor(kind: str, workers: int, slurm: str | None, study: "Study") -> "Executor":
    from pkdr_monai.studies import LocalExecutor, SubmititExecutor

    if kind == "slurm":
        return SubmititExecutor(study.work / "submitit", parameters=read_object(slurm) if slurm else None)
    return LocalExecutor(workers)


def _tell_plan(repository: "Repository", study: "Study", plan: Sequence["Job"], workers: int) -> float:
    """Print every run with its state; return the seconds that the open ones may take."""
    from pkdr_monai.runs.record import duration
    from pkdr_monai.studies import estimated_seconds, open_jobs
    from pkdr_monai.studies.cost import REFERENCE, seconds_per_step

    todo = open_jobs(plan)
    for job in plan:
        state = "to run" if job in todo else "done"
        echo(f"{state:7} {job.name} ({', '.join(job.cells)}; on {', '.join(job.evaluated)})")
    if not todo:
        echo(f"study {study.name}: all {len(plan)} runs are done")
        return 0.0

    def step() -> float:
        return seconds_per_step(repository.cells[REFERENCE], study.budget)

    expected = estimated_seconds(todo, study.results, step, workers)
    echo(
        f"study {study.name}: {len(todo)} of {len(plan)} runs to do, in about {duration(expected)}; the first by hand:"
    )
    for line in todo[0].commands():
        echo(f"    {line}")
    return expected


def _tell_results(repository: "Repository", study: "Study", cells: Sequence["Cell"]) -> None:
    """Measure what each method costs, where that is not known yet, and print the tables that the cells are of."""
    from pkdr_monai.studies.cost import complete_cost
    from pkdr_monai.studies.report import render_tables
    from pkdr_monai.studies.tables import OTHERS

    complete_cost(repository, study, cells)
    file = repository.root / "experiments" / "tables.json"
    tables = {cell.name.split("/")[0] for cell in cells}
    echo(render_tables(study.results, file, only={name if name in read_json(file) else OTHERS for name in tables}))
    echo(f"results: {study.results}. Tables and figures as files: pkdr experiment report {study.results}")
