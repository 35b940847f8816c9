from __future__ import annotations

from pathlib import Path

import pytest

from pkdr_monai.errors import InputError
from pkdr_monai.files import write_json
from pkdr_monai.studies import Repository, Study, make_plan


def test_every_yaml_under_experiments_is_a_cell(repository: Repository) -> None:
    files = {f"{file.parent.name}/{file.stem}" for file in (repository.root / "experiments").rglob("*.yaml")}
    assert set(repository.cells) == files | {"bundle/teacher"}


@pytest.mark.parametrize(
    ("words", "names"),
    [
        ("table3/full", ["table3/full"]),
        ("table3/full, table1/pkdr", ["table3/full", "table1/pkdr"]),
        ("table2/", [f"table2/{name}" for name in ("baseline", "boundary", "fusion", "patch_selection", "vae")]),
    ],
)
def test_words_name_tables_and_cells(repository: Repository, words: str, names: list[str]) -> None:
    assert [cell.name for cell in repository.select(words)] == names


def test_all_is_all(repository: Repository) -> None:
    assert {cell.name for cell in repository.select("all")} == set(repository.cells)


def test_yaml_anywhere_is_a_cell_of_its_folder(repository: Repository, tmp_path: Path) -> None:
    file = tmp_path / "mine" / "idea.yaml"
    file.parent.mkdir()
    file.write_text("loss#beta: 2.0\n")
    (cell,) = repository.select(str(file))
    assert (cell.name, cell.merged["loss"]["beta"]) == ("mine/idea", 2.0)


def test_unknown_word_is_refused_with_what_there_is(repository: Repository) -> None:
    with pytest.raises(InputError, match=r"no experiment 'table4': expected a table \(bundle, controls, table1"):
        repository.select("table1,table4")


def test_other_folder_is_no_checkout(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="is no checkout of the project"):
        Repository(tmp_path)


def test_one_experiment_under_two_names_has_one_hash(repository: Repository) -> None:
    by_hash: dict[str, list[str]] = {}
    for name, cell in repository.cells.items():
        by_hash.setdefault(cell.settings_hash({}), []).append(name)
    assert sorted(names for names in by_hash.values() if len(names) > 1) == [
        ["table1/pkdr", "table3/full"],
        ["table1/plain_teacher", "table2/baseline"],
        ["table2/patch_selection", "bundle/teacher"],
    ]


@pytest.mark.parametrize(
    ("overlay", "changes"),
    [
        ("run_name: another", False),
        ("num_workers: 7", False),
        ("loss#beta: 0.6", True),
        ("max_epochs: 7", True),
        ("lr_power: 0.8", True),
        ("augmentation#transforms: []", True),
        ("validate#inferer#overlap: 0.25", True),
    ],
)
def test_hash_changes_with_the_result_and_with_nothing_else(
    repository: Repository, tmp_path: Path, overlay: str, changes: bool
) -> None:
    file = tmp_path / "changed.yaml"
    file.write_text(overlay + "\n")
    changed = repository.select(str(file))[0].settings_hash({})
    assert (changed != repository.cells["table1/pkdr"].settings_hash({})) is changes


def test_budget_and_seed_are_part_of_the_hash(repository: Repository) -> None:
    cell = repository.cells["table1/pkdr"]
    hashes = {cell.settings_hash({}), cell.settings_hash({"max_epochs": 3}), cell.settings_hash({}, seed=1)}
    assert len(hashes) == 3


@pytest.mark.parametrize(
    ("name", "teacher"),
    [
        ("table1/unimodal", None),
        ("table1/pkdr", "bundle/teacher"),
        ("table1/protokd", "table1/plain_teacher"),
        ("controls/protokd_softmax", "controls/plain_teacher_softmax"),
        ("controls/patch_size_8", "controls/patch_size_8_teacher"),
    ],
)
def test_each_method_has_the_teacher_that_its_checkpoint_names(
    repository: Repository, name: str, teacher: str | None
) -> None:
    found = repository.teacher_of(repository.cells[name])
    assert (found and found.name) == teacher


def test_own_teacher_has_the_settings_of_its_student_and_sees_everything(repository: Repository) -> None:
    teacher = repository.teacher_of(repository.cells["controls/patch_size_8"])
    assert teacher is not None
    assert (teacher.fixed_modality, teacher.merged["network_def"]["patch_size"]) == ("all", 8)


def test_teacher_that_nothing_trains_is_refused(repository: Repository, tmp_path: Path) -> None:
    file = tmp_path / "lost.yaml"
    file.write_text("teacher_checkpoint: runs/nobody/models/model.pt\n")
    with pytest.raises(InputError, match="no config trains the teacher runs/nobody"):
        repository.teacher_of(repository.select(str(file))[0])


def test_only_uhved_is_trained_once_and_evaluated_on_each_subset(repository: Repository) -> None:
    assert [name for name, cell in repository.cells.items() if cell.serves_subsets] == ["table1/uhved"]


def test_scores_of_each_channel_have_the_hash_from_before_label_maps_were_scored(repository: Repository) -> None:
    cell = repository.cells["table1/unimodal"]
    nested, channels = cell.settings_hash({}), cell.settings_hash({"scoring": "channels"})
    assert nested != channels
    assert cell.settings_hash({"scoring": "nested"}) == nested


@pytest.mark.parametrize(
    ("name", "settings"),
    [
        ("table1/unimodal", {"network_def#patch_size", "loss#patch_selection"}),
        ("table1/pkdr", {"network_def#patch_size", "loss#patch_selection", "teacher_def#patch_size"}),
        ("table1/kdnet", set()),
        ("controls/protokd_pkdr_teacher", {"teacher_def#patch_size"}),
        ("controls/monai_vnet", set()),
        ("controls/patch_size_8", set()),
    ],
)
def test_patch_size_of_a_budget_reaches_what_has_patches(repository: Repository, name: str, settings: set[str]) -> None:
    cell = repository.cells[name]
    found = cell.patch_settings({"patch_size": 8}).keys() - (
        {"teacher_def#patch_size"} if name == "table1/unimodal" else set()
    )
    assert found == settings
    assert cell.patch_settings({}) == {}


EARLY_STOP = {"_target_": "monai.handlers.EarlyStopHandler", "patience": 2, "score_function": "$lambda engine: 0.0"}


@pytest.mark.parametrize(
    "setting",
    [
        {"+train#handlers": [EARLY_STOP]},
        {"train#handlers#4#_disabled_": True},
        {"train::handlers::4::_disabled_": True},
        {"+validate#handlers": [EARLY_STOP]},
    ],
)
def test_handlers_count_where_an_overlay_or_a_budget_changes_them(
    repository: Repository, tmp_path: Path, setting: dict[str, object]
) -> None:
    plain = repository.cells["table1/unimodal"]
    file = tmp_path / "changed.json"
    write_json(file, setting)
    changed = repository.cell("mine/changed", *plain.overlays, file)
    assert len({plain.settings_hash({}), changed.settings_hash({})}) == 2
    assert plain.settings_hash(setting) == changed.settings_hash({})


def test_weights_of_a_budget_count_by_the_content_of_their_file(repository: Repository, tmp_path: Path) -> None:
    cell = repository.cells["table1/unimodal"]
    files = {name: tmp_path / f"{name}.pt" for name in ("a", "b", "copy", "absent", "lost")}
    for name, content in {"a": "1", "b": "2", "copy": "1"}.items():
        files[name].write_text(content)
    hashes = {name: cell.settings_hash({"initial_weights": str(path)}) for name, path in files.items()}
    assert hashes["a"] == hashes["copy"]
    assert len({*hashes.values(), cell.settings_hash({})}) == 5
    assert cell.settings_hash({"initial_weights": None}) == cell.settings_hash({})


def test_average_of_the_weights_counts_where_a_budget_asks_for_it(repository: Repository) -> None:
    cell = repository.cells["table1/unimodal"]
    assert cell.settings_hash({"weight_average": {"momentum": 0.1}}) != cell.settings_hash({})


@pytest.mark.parametrize("setting", ["student_dtype: auto", "teacher_dtype: auto", "distiller#student_dtype: auto"])
def test_data_type_that_each_machine_chooses_is_refused(
    repository: Repository, study: Study, tmp_path: Path, setting: str
) -> None:
    file = tmp_path / "machine.yaml"
    file.write_text(setting + "\n")
    with pytest.raises(InputError, match=r"is auto, .* choose bfloat16 or float32\."):
        make_plan(repository, study, repository.select(str(file)), ["t2"], [0])
