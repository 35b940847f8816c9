"""Where a report finds images and predictions: a data set, a folder of segmentations, or the run's own network."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Sequence
from pathlib import Path

from pkdr_monai.data import Case, Cohort, find_cases, load_data_list
from pkdr_monai.data.entries import case_of
from pkdr_monai.data.label_schemes import with_label_scheme
from pkdr_monai.data.splits import SECTIONS
from pkdr_monai.errors import InputError
from pkdr_monai.modalities import MODALITIES
from pkdr_monai.regions import scheme_labels
from pkdr_monai.reporting.run import Run
from pkdr_monai.reporting.volumes import Predicted, Segmentation, ShownCase, find_segmentations, read_volumes

__all__ = ["Sources", "open_sources"]


class Sources:
    """Read a case's image and label, and let its prediction be read or computed.

    Args:
        cohort: the data set.
        modalities: the modalities that the network sees.
        predict: returns the prediction of a case, or ``None``.
    """

    def __init__(
        self, cohort: Cohort, modalities: tuple[str, ...], predict: Callable[[Case], Predicted | None]
    ) -> None:
        self.cohort = cohort
        self.cases = {case.name: case for case in cohort.cases}
        self.modalities = modalities
        self._predict = predict

    def require(self, names: Sequence[str]) -> None:
        """Refuse names that are no case of the data set.

        Raises:
            InputError: with the name that comes nearest.
        """
        for name in names:
            if name not in self.cases:
                near = difflib.get_close_matches(name, self.cases, n=1)
                hint = f" Did you mean {near[0]!r}?" if near else ""
                raise InputError(f"{self.cohort.folder} has no case {name!r}.{hint}")

    def scan(self, name: str) -> ShownCase:
        """Return a case with all that is known of it.

        Raises:
            InputError: when a file of it is absent or broken.
        """
        self.require([name])
        case = self.cases[name]
        return read_volumes(case, self.cohort.folder, self.cohort.label_scheme, self.modalities, self._predict(case))


def open_sources(
    run: Run,
    dataset_dir: str | Path,
    data_list_file: str | Path | None = None,
    predictions: str | Path | None = None,
    config_files: Sequence[str | Path] = (),
    label_scheme: str | None = None,
) -> Sources:
    """Open what a report reads cases from.

    Args:
        run: the run that is reported.
        dataset_dir: the data set's folder.
        data_list_file: its data list; without one, the folder is searched.
        predictions: folder of segmentations; without one, the run's own are taken, or its network segments again.
        config_files: inference.json and overlays, for :class:`~pkdr_monai.reporting.computed.Recompute`.
        label_scheme: of the segmentations, where it is not that of the data set.

    Raises:
        InputError: when one of these is not what it should be.
    """
    cohort = _cohort(dataset_dir, data_list_file)
    scheme = label_scheme or cohort.label_scheme
    scheme_labels(scheme)
    segmentations = run.segmentations if predictions is None else find_segmentations(predictions)
    if predictions is not None and not segmentations:
        raise InputError(f"{predictions} holds no segmentation: expected files named <case>_seg.nii.gz.")
    if segmentations:
        return Sources(cohort, _modalities(run), lambda case: _read(segmentations.get(case.name), scheme))
    if not run.weights.is_file():
        return Sources(cohort, _modalities(run), lambda case: None)
    from pkdr_monai.reporting.computed import Recompute  # here, because it loads torch and MONAI

    network = Recompute(run.weights, config_files)
    return Sources(cohort, network.modalities, lambda case: network(case, cohort.folder, cohort.label_scheme))


def _cohort(dataset_dir: str | Path, data_list_file: str | Path | None) -> Cohort:
    if data_list_file is None:
        return with_label_scheme(find_cases(dataset_dir))
    data_list = load_data_list(data_list_file)
    cases = tuple(case_of(entry) for section in SECTIONS for entry in data_list[section])
    return Cohort(Path(dataset_dir), cases, data_list["label_scheme"])


def _modalities(run: Run) -> tuple[str, ...]:
    noted = run.settings.get("modalities") or run.record.get("modalities")
    known = [name for name in noted if name in MODALITIES] if isinstance(noted, list) else []
    return tuple(known) or MODALITIES


def _read(segmentation: Segmentation | None, label_scheme: str) -> Predicted | None:
    return None if segmentation is None else segmentation.read(label_scheme)
