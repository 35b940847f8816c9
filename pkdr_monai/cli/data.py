"""``pkdr data``: find, check and divide the cases of a data set, or write a synthetic one."""

import shlex
import shutil
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pkdr_monai.arguments import integer, names, switch, triple
from pkdr_monai.data.splits import fold_file
from pkdr_monai.errors import InputError
from pkdr_monai.files import read_json, write_json, writing_to
from pkdr_monai.modalities import MODALITIES, parse_modalities
from pkdr_monai.terminal import ProgressLine, command, echo

if TYPE_CHECKING:
    from pkdr_monai.data import Cohort, Problem

__all__ = ["Data"]


class Data:
    """Find, check and divide the cases of a data set, or write a synthetic one.

    For example, to check BraTS 2018 as downloaded, and then write its data list:

        pkdr data check MICCAI_BraTS_2018_Data_Training

        pkdr data split MICCAI_BraTS_2018_Data_Training --output brats2018.json
    """

    @command(exclude=names, force=switch, incomplete=switch)
    def check(
        self,
        dataset_dir: str,
        *,
        exclude: Sequence[str] = (),
        label_scheme: str | None = None,
        report: str | None = None,
        fingerprint: str | None = None,
        geometry: str = "header",
        force: bool = False,
        modality: str | None = None,
        incomplete: bool = False,
    ) -> None:
        """Check every case of a data set: missing and broken files, grids, voxel values, labels.

        What is wrong is shown in one table; the exit code is 2 when there are errors, 0 when there are only warnings.
        The page of --report shows a slice of every case: keep and pass it on as the data set's terms allow.
        Example: pkdr data check BraTS2020 --exclude BraTS20_Training_355

        Args:
            dataset_dir: folder of a data set: BraTS 2018 to 2024, BIDS, nnU-Net's raw data, or the Decathlon's Task01.
            exclude: names of cases to leave out, with commas between them.
            label_scheme: brats2018, brats2023, brats2024_gli, brats2024_ped or msd, where names do not give it.
            report: HTML file to write: the problems, figures of the sound cases, and a slice of each.
            fingerprint: JSON file to write: shapes, spacings, intensities and tumour volumes of the sound cases.
            geometry: sform, qform or pixdim: which affine to use where a header states two; default: that is an error.
            force: take scans that do not look like a whole, skull-stripped brain, with a warning.
            modality: what each case must have, such as t2 or t1+flair; others are not looked at. Default: all four.
            incomplete: let cases lack some of the modalities, as pkdr data split --incomplete does, and count them.
        """
        from pkdr_monai.data import check_cases, find_cases, problems_table
        from pkdr_monai.data.cases import exclude_cases, with_geometry
        from pkdr_monai.data.label_schemes import with_label_scheme
        from pkdr_monai.data.listing import by_completeness
        from pkdr_monai.data.problems import errors_among

        modalities = _modalities(modality)
        cohort = find_cases(dataset_dir)
        wanted = [case.only(modalities) for case in exclude_cases(cohort.cases, exclude)]
        _, lacking = by_completeness({case.name: case for case in wanted}, incomplete, modalities)
        cases = with_geometry(wanted, geometry)
        cohort = with_label_scheme(replace(cohort, cases=tuple(cases)), label_scheme)
        labelled = any(case.label is not None for case in cases)
        progress = ProgressLine("checking")
        scheme = cohort.label_scheme
        problems = check_cases(
            cases, cohort.folder, scheme, modalities, labelled, progress=progress, force=force, incomplete=incomplete
        )
        errors = errors_among(problems)
        if problems:
            echo(problems_table(problems, width=max(100, shutil.get_terminal_size((140, 24)).columns)) + "\n")
        labels = f"labels of scheme {cohort.label_scheme}" if labelled else "no labels"
        echo(f"cases: {len(cases)} ({labels}), errors: {len(errors)}, warnings: {len(problems) - len(errors)}")
        if lacking:
            counts = {modality: sum(modality not in case.modalities for case in lacking) for modality in modalities}
            missing = ", ".join(f"{modality}: {count}" for modality, count in counts.items() if count)
            echo(f"cases that lack a modality, and can only train a student for any subset: {len(lacking)} ({missing})")
        faulty = sorted({problem.case for problem in errors})
        if report is not None or fingerprint is not None:
            sound = [case for case in cases if case.name not in faulty]
            _describe(replace(cohort, cases=tuple(sound)), problems, report, fingerprint)
        if errors:
            raise InputError(f"repair the files, or leave the cases out with --exclude {','.join(faulty)}")

    @command(
        seed=integer,
        folds=integer,
        validation=integer,
        exclude=names,
        force=switch,
        accept_scans=switch,
        incomplete=switch,
    )
    def split(
        self,
        dataset_dir: str,
        *,
        output: str = "datalist.json",
        seed: int = 0,
        folds: int | None = None,
        validation: int | None = None,
        split: str | None = None,
        patients: str | None = None,
        exclude: Sequence[str] = (),
        label_scheme: str | None = None,
        force: bool = False,
        geometry: str = "header",
        accept_scans: bool = False,
        incomplete: bool = False,
        modality: str | None = None,
    ) -> None:
        """Check every case of a data set, divide them 70/10/20, and write the data list that training reads.

        The same folder and seed always give the same split; grades are spread evenly where the data set has them.
        With --folds there is one data list for each fold, such as brats2018_fold0.json: every case is in the test part
        of exactly one.
        Example: pkdr data split MICCAI_BraTS_2018_Data_Training --output brats2018.json --seed 1

        Args:
            dataset_dir: folder of a data set: BraTS 2018 to 2024, BIDS, nnU-Net's raw data, or the Decathlon's Task01.
            output: the file to write.
            seed: chooses the split.
            folds: divide for cross-validation into that many folds.
            validation: patients that validate in each fold; by default one sixth of all.
            split: a JSON file {"train": [names], "val": [names], "test": [names]} with a split to use instead.
            patients: a CSV or TSV file with the columns case and patient, or BIDS's participants.tsv; all scans of a
                patient go into one part. By default the names of known data sets give it.
            exclude: names of cases to leave out, with commas between them.
            label_scheme: brats2018, brats2023, brats2024_gli, brats2024_ped or msd, where names do not give it.
            force: replace an output file that holds something else.
            geometry: as in pkdr data check; the list notes it, and training reads the files so.
            accept_scans: what --force is to pkdr data check.
            incomplete: take cases that lack some modalities too, to train a student for any subset of them.
            modality: as in pkdr data check; the list then holds these alone, and no teacher of all four can use it.
        """
        from pkdr_monai.data import make_data_list, make_fold_lists

        progress = ProgressLine("checking")
        taken: dict[str, Any] = {
            "label_scheme": label_scheme,
            "patients": patients,
            "geometry": geometry,
            "force": accept_scans,
            "incomplete": incomplete,
            "modalities": _modalities(modality),
        }
        if folds is None:
            if validation is not None:
                raise InputError("--validation is the number of validation patients of a fold: it needs --folds.")
            lists = {Path(output): make_data_list(dataset_dir, seed, split, exclude, progress=progress, **taken)}
        elif split is not None:
            raise InputError("--folds and --split exclude each other: choose the one or the other.")
        else:
            found = make_fold_lists(dataset_dir, folds, seed, validation, exclude, progress, **taken)
            lists = {fold_file(output, data_list["fold"]): data_list for data_list in found}
        for path, data_list in lists.items():
            _write_once(path, data_list, force)
            sizes = ", ".join(f"{section}: {len(data_list[section])}" for section in ("training", "validation", "test"))
            echo(f"{path}: {sizes} (labels of scheme {data_list['label_scheme']}, hash {data_list['hash'][:12]})")

    @command(cases=integer, shape=triple(int), spacing=triple(float), seed=integer, wide=switch, healthy=switch)
    def demo(
        self,
        folder: str,
        *,
        cases: int = 24,
        shape: tuple[int, int, int] = (240, 240, 155),
        spacing: tuple[float, float, float] = (1.0, 1.0, 1.0),
        seed: int = 0,
        wide: bool = False,
        healthy: bool = False,
    ) -> None:
        """Write a synthetic data set in the layout of BraTS 2018, to try everything without patients' data.

        Example: pkdr data demo synthetic --cases 8 --shape 80,80,64 --spacing 2.5

        Args:
            folder: where to write.
            cases: how many cases.
            shape: voxels along each axis, one number or three with commas between them.
            spacing: size of a voxel in mm, one number or three with commas between them.
            seed: chooses the patients.
            wide: far more varied patients and scanners, to train networks that are to work on real scans.
            healthy: heads without a tumour alone, of the wide setting.
        """
        from pkdr_monai.phantom import write_cohort

        model, progress = ("healthy" if healthy else "wide" if wide else "brats2018"), ProgressLine("drawing")
        write_cohort(folder, cases=cases, shape=shape, spacing=spacing, seed=seed, progress=progress, model=model)
        echo(f"{folder}: synthetic cases: {cases}. Next: pkdr data split {shlex.quote(folder)} --output datalist.json")


def _modalities(text: str | None) -> tuple[str, ...]:
    return MODALITIES if text is None else parse_modalities(text)


def _describe(cohort: "Cohort", problems: Sequence["Problem"], report: str | None, output: str | None) -> None:
    """Write the fingerprint of sound cases as a page, as JSON, or as both."""
    from pkdr_monai.data.fingerprint import fingerprint
    from pkdr_monai.reporting.fingerprint import Thumbnails, write_fingerprint_page

    thumbnails = Thumbnails(cohort.label_scheme)
    look, progress = (thumbnails if report is not None else None), ProgressLine("measuring")
    measured = fingerprint(cohort.cases, cohort.folder, cohort.label_scheme, progress, look)
    if output is not None:
        _write(Path(output), measured, "--fingerprint")
        echo(f"{output}: fingerprint of {len(cohort.cases)} cases")
    if report is not None:
        page = write_fingerprint_page(report, measured, thumbnails.pictures, problems)
        echo(f"{page}: {page.stat().st_size / 1e6:.2f} MB")


def _write_once(path: Path, content: dict[str, Any], force: bool) -> None:
    """Write a JSON file, unless it is there with other content."""
    if path.exists() and not force:
        if path.is_dir() or read_json(path) != content:
            raise InputError(
                f"{path} is there and holds something else: choose another --output, or replace it with --force."
            )
        return
    _write(path, content, "--output")


def _write(path: Path, content: dict[str, Any], option: str) -> None:
    with writing_to(path, f"choose another {option}"):
        write_json(path, content)
