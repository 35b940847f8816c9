from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

import pytest

from pkdr_monai.errors import InputError
from pkdr_monai.studies import Job, Study, estimated_seconds, open_jobs, run_plan
from pkdr_monai.studies.executors import OVERHEAD, seconds_left
from tests.studies.conftest import finish

Plan = Callable[..., list[Job]]


class Inline:
    """Does jobs here and now, but for those that are to fail."""

    def __init__(self, *failing: str) -> None:
        self.failing = failing
        self.waves: list[list[str]] = []

    def run(self, jobs: Sequence[Job]) -> Iterator[tuple[Job, bool]]:
        self.waves.append([job.name for job in jobs])
        for job in jobs:
            well = job.name not in self.failing
            if well:
                finish(job)
            yield job, well


def _run(plan: list[Job], executor: Inline) -> tuple[list[str], list[str]]:
    said: list[str] = []
    return [job.name for job in run_plan(plan, executor, said.append, expected=60.0)], said


def test_teachers_run_before_everything_else(plan: Plan) -> None:
    executor = Inline()
    assert _run(plan("table1/unimodal,table1/pkdr,table1/kdnet"), executor)[0] == []
    assert executor.waves == [
        ["bundle_teacher_all_seed0", "table1_plain_teacher_all_seed0"],
        ["table1_unimodal_t2_seed0", "table1_pkdr_t2_seed0", "table1_kdnet_t2_seed0"],
    ]


def test_failure_stops_its_students_and_nobody_else(plan: Plan) -> None:
    executor = Inline("bundle_teacher_all_seed0")
    failed, said = _run(plan("table1/pkdr,table1/kdnet,table1/unimodal"), executor)
    assert failed == ["bundle_teacher_all_seed0", "table1_pkdr_t2_seed0"]
    assert executor.waves[1] == ["table1_kdnet_t2_seed0", "table1_unimodal_t2_seed0"]
    assert "table1_pkdr_t2_seed0: not run, since its teacher failed" in said
    assert any("bundle_teacher_all_seed0: FAILED, see" in line for line in said)


def test_what_is_done_is_not_done_again(plan: Plan) -> None:
    jobs = plan("table1/pkdr", seeds=(0, 1))
    _run(jobs, Inline("table1_pkdr_t2_seed1"))
    assert [job.name for job in open_jobs(jobs)] == ["table1_pkdr_t2_seed1"]
    executor = Inline()
    _run(jobs, executor)
    assert executor.waves == [[], ["table1_pkdr_t2_seed1"]]


def test_teacher_whose_weights_are_gone_is_trained_again_for_a_student_that_needs_them(plan: Plan) -> None:
    teacher, student = jobs = plan("table1/pkdr")
    for job in jobs:
        finish(job)
    (teacher.output_dir / "models" / "model.pt").unlink()
    assert open_jobs(jobs) == []
    student.result_file("t2").unlink()
    assert open_jobs(jobs) == [teacher, student]


def test_lines_tell_how_far_it_is_and_what_came_out(plan: Plan) -> None:
    _, said = _run(plan("table1/unimodal", seeds=(0, 1)), Inline())
    assert said[0].startswith("[1/2] table1_unimodal_t2_seed0: Dice 0.500 on t2; about ")
    assert said[1].startswith("[2/2] table1_unimodal_t2_seed1: ")


@pytest.mark.parametrize(
    ("spent", "done", "total", "left"),
    [
        (1000.0, 1, 3, 2000.0),  # slower than the 1200 s expected
        (1500.0, 2, 3, 750.0),  # over the time, and not at the end
        (100.0, 1, 3, 1100.0),  # a short one first: as expected
        (100.0, 2, 2, 0.0),
        (300.0, 3, 6, 300.0),
    ],
)
def test_what_is_left_never_ends_before_the_runs_do(spent: float, done: int, total: int, left: float) -> None:
    assert seconds_left(spent, done, total, expected=1200.0) == left


def test_estimate_rests_on_runs_of_the_same_cell_and_else_on_a_measured_step(plan: Plan, study: Study) -> None:
    jobs = plan("table1/unimodal", seeds=(0, 1, 2))
    measured = estimated_seconds(jobs, study.results, lambda: 2.0, workers=1)
    # 2 epochs of 2 steps; 2 validation cases twice and 2 test cases in 8 windows at a third of a crop's part of a step
    assert measured == pytest.approx(3 * (OVERHEAD + 2.0 * (4 + 6 * 8 / 3 / 2)))
    finish(jobs[0], seconds=9.0)
    assert estimated_seconds(jobs[1:], study.results, _never, workers=2) == pytest.approx(10.0)


@pytest.mark.parametrize("content", ['{"cells": ["table1/pk', "[]", '{"cells": []}', '{"training_seconds": "a"}'])
def test_a_damaged_result_is_named(plan: Plan, study: Study, content: str) -> None:
    jobs = plan("table1/unimodal")
    path = jobs[0].result_file("t2")
    path.parent.mkdir(parents=True)
    path.write_text(content)
    with pytest.raises(InputError, match=path.name):
        estimated_seconds(jobs, study.results, _never, workers=1)


def _never() -> float:
    raise AssertionError("there is a run to go by")
