"""``pkdr report``: what a run did, and how well, as one HTML file."""

from collections.abc import Sequence

from pkdr_monai.arguments import names
from pkdr_monai.terminal import ProgressLine, command, echo

__all__ = ["report"]


@command(cases=names, config_file=names)
def report(
    run: str,
    *,
    output: str | None = None,
    dataset_dir: str | None = None,
    data_list_file: str | None = None,
    predictions: str | None = None,
    cases: Sequence[str] = (),
    config_file: Sequence[str] = (),
    label_scheme: str | None = None,
) -> None:
    """Write a report of a run: scores, worst cases, viewer, training, record; one HTML file that needs no network.

    With --dataset_dir it shows images of patients: keep and pass on the page as the data set's terms allow.
    Example: pkdr report runs/pkdr_t2 --dataset_dir BraTS2018 --data_list_file brats2018.json --cases Brats18_2013_0_1

    Args:
        run: folder of a training run, or of predictions.
        output: the file to write; report.html in that folder by default.
        dataset_dir: folder of the data set, for images and labels of the cases that are shown.
        data_list_file: its data list; without one the folder is searched.
        predictions: folder of segmentations to show; without one the run's network segments the cases that are shown.
        cases: names of cases to show beside the five worst, with commas between them.
        config_file: inference.json and overlays, with commas between them, for another preprocessing or window.
        label_scheme: scheme of the segmentations' labels, where it is not that of the data set.
    """
    from pkdr_monai.reporting import write_report

    page = write_report(
        run,
        output,
        dataset_dir=dataset_dir,
        data_list_file=data_list_file,
        predictions=predictions,
        cases=cases,
        config_files=config_file,
        label_scheme=label_scheme,
        progress=ProgressLine,
    )
    echo(f"{page}: {page.stat().st_size / 1e6:.2f} MB")
