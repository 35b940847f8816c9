from __future__ import annotations

import shlex
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from pkdr_monai.data.entries import data_list_hash
from pkdr_monai.errors import InputError
from pkdr_monai.files import read_json, write_json
from pkdr_monai.studies import Job, Repository, Study, make_plan, open_jobs
from tests.studies.conftest import finish, make_study

Plan = Callable[..., list[Job]]


def test_teacher_comes_before_its_students_and_is_shared(plan: Plan) -> None:
    jobs = plan("table1/kdnet,table1/pmkl", ("t1", "t2"), (0, 1))
    assert [job.name for job in jobs if job.teacher is None] == ["table1_plain_teacher_all_seed0"]
    assert jobs[0].name == "table1_plain_teacher_all_seed0"
    assert len(jobs) == 1 + 2 * 2 * 2
    assert {job.teacher for job in jobs[1:]} == {jobs[0]}


def test_one_experiment_under_two_names_is_one_job(plan: Plan) -> None:
    for what in ("table1/pkdr,table3/full", "table3/full", "table1/pkdr"):
        (job,) = (job for job in plan(what) if job.teacher)
        assert (job.name, job.cells) == ("table1_pkdr_t2_seed0", ("table1/pkdr", "table3/full"))


def test_method_that_fixes_its_modalities_is_planned_once(plan: Plan) -> None:
    assert [(job.modality, job.evaluated) for job in plan("table2/vae", ("t1", "t2"))] == [("all", ("all",))]


def test_uhved_is_trained_once_and_evaluated_on_each_subset(plan: Plan) -> None:
    (job,) = plan("table1/uhved", ("t1", "t2", "t1+flair"))
    assert (job.modality, job.evaluated) == ("all", ("t1", "t2", "t1+flair"))


def test_done_is_what_has_a_result_of_the_same_settings_and_cases(plan: Plan) -> None:
    (job,) = plan("table1/unimodal")
    assert job.todo == ["t2"]
    finish(job)
    assert job.todo == []
    path = job.result_file("t2")
    for key in ("config_hash", "split_hash"):
        write_json(path, {**read_json(path), key: "another"})
        assert job.todo == ["t2"]
        finish(job)


def test_only_the_missing_evaluation_is_to_do(plan: Plan) -> None:
    (job,) = plan("table1/uhved", ("t1", "t2"))
    finish(job)
    job.result_file("t1").unlink()
    assert job.todo == ["t1"]


def test_other_settings_have_a_folder_of_their_own(plan: Plan) -> None:
    teacher, student = plan("table1/pkdr")
    assert student.output_dir.name.startswith("table1_pkdr_t2_seed0_")
    assert teacher.output_dir != student.output_dir


def test_training_names_the_teacher_and_resumes(plan: Plan, study: Study) -> None:
    teacher, student = plan("table1/pkdr")
    run_id, configs, options = student.training
    assert run_id == "training"
    assert [config.name for config in configs] == ["train.json", "pkdr.yaml", "budget.json"]
    assert options["teacher_checkpoint"] == str(teacher.output_dir / "models" / "model.pt")
    assert options["resume"] is True
    assert "teacher_checkpoint" not in teacher.training[2]


def test_overlay_stands_behind_evaluate_json_so_that_uhved_keeps_its_subsets(plan: Plan) -> None:
    (job,) = plan("table1/uhved", ("t1", "t2"))
    run_id, configs, options = job.evaluation("t1")
    assert run_id == "evaluating"
    assert [config.name for config in configs] == ["train.json", "evaluate.json", "uhved.yaml", "budget.json"]
    assert (options["modality"], options["evaluation_split"]) == ("t1", "test")


def test_commands_are_lines_for_a_shell(plan: Plan) -> None:
    (job,) = plan("table1/unimodal")
    training, evaluating = map(shlex.split, job.commands())
    assert training[:5] == ["python", "-m", "monai.bundle", "run", "training"]
    assert evaluating[4] == "evaluating"
    assert training[training.index("--modality") + 1] == "t2"


@pytest.fixture
def folded(tmp_path: Path) -> Study:
    """A study of three folds with one split of cases that are nowhere in each."""
    study = replace(make_study(tmp_path), cohort={"kind": "folder", "folder": "nowhere", "folds": 3})
    for part in study.parts:
        data_list = {"label_scheme": "brats2018", "seed": 0, "fold": part.fold}
        data_list |= {section: [{"case": f"{section}{part.fold}"}] for section in ("training", "validation", "test")}
        write_json(part.data_list_file, data_list | {"hash": data_list_hash(data_list)})
    return study


def test_every_fold_has_its_own_runs_and_teacher(repository: Repository, folded: Study) -> None:
    jobs = make_plan(repository, folded, repository.select("table1/pkdr"), ["t2"], [0])
    assert [job.name for job in jobs] == [
        f"{name}_seed0_fold{fold}" for fold in range(3) for name in ("bundle_teacher_all", "table1_pkdr_t2")
    ]
    assert [jobs[2 * fold + 1].teacher for fold in range(3)] == jobs[::2]
    assert len({job.settings_hash for job in jobs}) == 2  # the settings are the same, the cases are not
    assert len({job.study.split_hash for job in jobs}) == 3
    assert jobs[-1].training[2]["data_list_file"].endswith("datalist_fold2.json")
    assert jobs[-1].result_file("t2").name == "table1_pkdr_t2_seed0_fold2_on_t2.json"
    assert jobs[-1].result_file("t2").parent == folded.results / "runs"


def test_some_folds_can_be_run_alone(repository: Repository, folded: Study) -> None:
    cells = repository.select("table1/unimodal")
    assert [job.study.fold for job in make_plan(repository, folded, cells, ["t2"], [0], [2])] == [2]
    with pytest.raises(InputError, match="study tiny has no fold 3: its folds are 0 to 2"):
        make_plan(repository, folded, cells, ["t2"], [0], [0, 3])


def test_study_without_folds_has_none_to_choose(repository: Repository, study: Study) -> None:
    with pytest.raises(InputError, match="no fold 0: it has a single split"):
        make_plan(repository, study, repository.select("table1/unimodal"), ["t2"], [0], [0])


def test_record_of_folds_counts_the_pooled_test_cases(folded: Study) -> None:
    record = folded.record()
    assert (record["cases"], len(record["folds"]), record["folds"][1]["cases"]["training"]) == ({"test": 3}, 3, 1)
    assert record["split_hash"] not in [fold["split_hash"] for fold in record["folds"]]


def _train(job: Job, status: str = "finished") -> None:
    """Leave the record of a training on the job's data list."""
    write_json(job.output_dir / "run.json", {"status": status, "data_list": {"hash": job.study.data_list["hash"]}})


def _divide_otherwise(study: Study) -> Study:
    data_list = {**read_json(study.data_list_file), "test": [{"case": "training0"}]}
    write_json(study.data_list_file, {**data_list, "hash": data_list_hash(data_list)})
    return replace(study)


def test_other_split_does_not_take_a_network_that_was_trained_on_its_test_cases(
    repository: Repository, study: Study
) -> None:
    cells = repository.select("table1/unimodal")
    (before,) = make_plan(repository, study, cells, ["t2"], [0])
    _train(before)
    assert before.is_trained
    (after,) = make_plan(repository, _divide_otherwise(study), cells, ["t2"], [0])
    assert before.settings_hash == after.settings_hash
    assert after.output_dir != before.output_dir
    assert not after.is_trained


def test_training_on_a_list_of_other_files_is_refused_and_not_continued(repository: Repository, study: Study) -> None:
    jobs = make_plan(repository, study, repository.select("table1/pkdr"), ["t2"], [0])
    for job in jobs:
        _train(job, "running")
        assert not job.is_trained
    write_json(jobs[0].output_dir / "run.json", {"status": "finished", "data_list": {"hash": "another"}})
    with pytest.raises(InputError, match=r"bundle_teacher_all_seed0_\w+ holds a training on another data list"):
        open_jobs(jobs)


@pytest.mark.parametrize("same", [True, False])
def test_folder_of_before_goes_on_where_its_list_is_the_same(repository: Repository, study: Study, same: bool) -> None:
    cells = repository.select("table1/unimodal")
    (job,) = make_plan(repository, study, cells, ["t2"], [0])
    before = study.work / "runs" / f"{job.name}_{job.settings_hash[:8]}"
    record = {"status": "finished", "data_list": {"hash": study.data_list["hash"] if same else "another"}}
    write_json(before / "run.json", record)
    assert (job.output_dir == before, job.is_trained) == (same, same)


def test_method_hash_is_the_same_for_all_seeds_modalities_and_folds(repository: Repository, folded: Study) -> None:
    jobs = make_plan(repository, folded, repository.select("table1/unimodal"), ["t1", "t2"], [0, 1])
    assert (len(jobs), len({job.method_hash for job in jobs})) == (12, 1)
    others = make_plan(repository, folded, repository.select("table1/pmkl"), ["t2"], [0])
    assert jobs[0].method_hash not in [job.method_hash for job in others]
