"""``pkdr train``: train a teacher or a student, with every setting of the bundle as an option."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from fire.parser import DefaultParseValue

from pkdr_monai.arguments import names, switch
from pkdr_monai.errors import InputError
from pkdr_monai.terminal import command, echo

__all__ = ["train"]

TEXTS = ("run_name", "output_dir", "ckpt_dir", "evaluation_dir")  # by default expressions, which say nothing
OVERLAYS: dict[str, list[str]] = {"student": [], "teacher": ["train_teacher.json"]}


@command(overlays=names, dry_run=switch)
def train(
    what: str,
    *,
    dataset_dir: str = "data",
    data_list_file: str = "datalist.json",
    overlays: Sequence[str] = (),
    dry_run: bool = False,
    **settings: str,
) -> None:
    """Train the teacher on all four modalities, or beside it a student on one.

    Every setting of bundle/configs/train.json is an option, those inside others with # between the names; one that
    changes nothing is refused. The equivalent command of MONAI is printed first. The result is in runs/<run_name>/.
    Examples: pkdr train teacher --dataset_dir BraTS2018 --data_list_file brats2018.json, and then
    pkdr train student --modality t2 --dataset_dir BraTS2018 --data_list_file brats2018.json --max_epochs 300

    Args:
        what: teacher or student.
        dataset_dir: folder of the data set.
        data_list_file: its split, as pkdr data split writes it.
        overlays: config files after it, with commas between them: other methods, ablations, settings of yours.
        dry_run: only print the command.
        settings: for example --modality flair, --max_epochs 300, --batch_size 2, --resume true, --loss#beta 0.3.
    """
    from pkdr_monai.workflow import check_overrides, command_line, find_configs, load_configs, run_bundle

    if what not in OVERLAYS:
        raise InputError(f"cannot train {what!r}: expected teacher or student.")
    folder = find_configs()
    files = [folder / name for name in ("train.json", *OVERLAYS[what])] + [Path(overlay) for overlay in overlays]
    configured = load_configs(files)
    read = {key: value if _is_text(configured, key) else DefaultParseValue(value) for key, value in settings.items()}
    check_overrides(configured, read)
    options: dict[str, Any] = {"dataset_dir": dataset_dir, "data_list_file": data_list_file, **read}
    echo(command_line("training", files, options))
    if not dry_run:
        run_bundle("training", files, options)


def _is_text(configured: Mapping[str, Any], key: str) -> bool:
    """Whether a setting is text, of which 2024 and 1e3 are to stay what was written."""
    value = configured.get(key)
    return key in TEXTS or (isinstance(value, str) and not value.startswith(("$", "@", "%")))
