"""Files that somebody made to do harm: none runs code, leaves its folder, or becomes part of a page."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import nibabel
import pytest
import torch

from pkdr_monai.cli import main
from pkdr_monai.data import load_data_list
from pkdr_monai.data.entries import data_list_hash
from pkdr_monai.errors import InputError, plain_error_in
from pkdr_monai.files import file_hash, read_object, write_json
from pkdr_monai.inference import predict

from ..conftest import exit_code
from .conftest import CONFIGS, TRAIN, Bundle


class Malice:
    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple:
        return Path.touch, (self.path,)


@pytest.fixture
def hostile(student: Path, tmp_path: Path) -> Path:
    """A run whose weights and checkpoints would write a file if they could."""
    shutil.copytree(student, tmp_path / "hostile")
    for name in ("model.pt", "checkpoint.pt", "checkpoint_previous.pt"):
        torch.save({"weight": Malice(tmp_path / "executed")}, tmp_path / "hostile" / "models" / name)
    card = tmp_path / "hostile" / "models" / "model.json"
    write_json(card, read_object(card) | {"sha256": file_hash(card.with_suffix(".pt"))})
    return tmp_path / "hostile"


def _scan(bundle: Bundle) -> Path:
    return next(iter(sorted(bundle.cohort.rglob("*_t2.nii.gz"))))


def test_no_command_runs_the_code_in_a_checkpoint(
    bundle: Bundle, hostile: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    weights = hostile / "models" / "model.pt"
    options = [f"--{name}={value}" for name, value in bundle.options().items()]
    commands: list[list[object]] = [
        ["predict", _scan(bundle), "--output", tmp_path / "out", "--model", weights, "--force"],
        ["train", "teacher", *options, f"--output_dir={hostile}", "--resume=true"],
        ["train", "student", *options, f"--output_dir={tmp_path / 'new'}", f"--teacher_checkpoint={weights}"],
        ["bundle", "build", "--run", hostile, "--output", tmp_path / "bundle.zip"],
    ]
    for words in commands:
        assert exit_code(*words) == 2
        assert not (tmp_path / "executed").exists()
        assert "may run code when read" in capsys.readouterr().err, words


def test_an_evaluation_does_not_run_it_either(bundle: Bundle, hostile: Path, tmp_path: Path) -> None:
    with pytest.raises(RuntimeError) as caught:
        bundle.run("evaluating", TRAIN, CONFIGS / "evaluate.json", **bundle.options(output_dir=hostile))
    assert "may run code when read" in str(plain_error_in(caught.value))
    assert not (tmp_path / "executed").exists()


@pytest.mark.parametrize("key", ["network", "name", "spacing"])
def test_no_command_runs_the_code_in_a_models_card(
    student: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], key: str
) -> None:
    code = f"$__import__('pathlib').Path({str(tmp_path / 'executed')!r}).touch()"
    shutil.copytree(student, tmp_path / "hostile")
    card = tmp_path / "hostile" / "models" / "model.json"
    content = read_object(card)
    hostile = {"network": {**content["network"], "in_channels": code}, "name": code, "spacing": [code] * 3}
    write_json(card, content | {key: hostile[key]})
    assert exit_code("evaluate", tmp_path / "hostile") == 2
    assert "model.json" in capsys.readouterr().err
    assert not (tmp_path / "executed").exists()


@pytest.mark.parametrize("name", ["../../x", "/etc/x", ".."])
def test_a_case_of_a_data_list_cannot_be_named_out_of_the_folder(bundle: Bundle, tmp_path: Path, name: str) -> None:
    data_list = load_data_list(bundle.data_list)
    data_list["test"][0]["case"] = name
    write_json(tmp_path / "datalist.json", data_list | {"hash": data_list_hash(data_list)})
    with pytest.raises(InputError, match="a case is named"):
        load_data_list(tmp_path / "datalist.json")


@pytest.mark.parametrize("name", [".._t2.nii.gz", "._t2.nii.gz"])
def test_a_file_cannot_be_named_so_that_its_results_leave_the_folder(
    bundle: Bundle, student: Path, tmp_path: Path, name: str
) -> None:
    image = shutil.copy(_scan(bundle), tmp_path / name)
    with pytest.raises(InputError, match="a case is named"):
        predict(image, tmp_path / "in" / "out", models=[student])
    assert {path.name for path in tmp_path.iterdir()} <= {name, "in"}


def test_markup_in_the_name_of_a_case_is_text_on_the_page(write_case: Callable[..., Path], tmp_path: Path) -> None:
    write_case("sound")
    folder = write_case("<script>alert(1)<")
    main(["data", "check", str(folder), "--report", str(tmp_path / "page.html")])
    page = (tmp_path / "page.html").read_text()
    assert "&lt;script&gt;alert(1)&lt;" in page
    assert "<script>alert(1)<" not in page


def test_a_link_among_the_results_is_replaced_and_not_followed(bundle: Bundle, student: Path, tmp_path: Path) -> None:
    image = shutil.copy(_scan(bundle), tmp_path / "ann_t2.nii.gz")
    victim = tmp_path / "victim"
    victim.write_text("precious")
    (tmp_path / "out" / "ann").mkdir(parents=True)
    (tmp_path / "out" / "ann" / "ann_seg.nii.gz").symlink_to(victim)
    refused = predict(image, tmp_path / "out", models=[student])["cases"][0]
    assert "holds ann_seg.nii.gz, and no prediction wrote that" in refused["error"]
    (tmp_path / "out" / "ann" / "record.json").write_text('{"status": "unfinished"}')
    record = predict(image, tmp_path / "out", models=[student])
    assert record["status"] == "finished", record
    assert victim.read_text() == "precious"
    assert nibabel.load(tmp_path / "out" / "ann" / "ann_seg.nii.gz").shape
