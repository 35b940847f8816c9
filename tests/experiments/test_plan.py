from __future__ import annotations

import shlex
from collections.abc import Callable

from pkdr_monai.experiments import Job, Study
from pkdr_monai.files import read_json, write_json
from tests.experiments.conftest import finish

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
