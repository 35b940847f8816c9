"""What headers say is read from files of one slice and from functional groups alike."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from pkdr_monai.data.acquisition import Facts, judge_study
from pkdr_monai.phantom.case import PhantomCase
from pkdr_monai.prepare.series import read_series
from tests.prepare.conftest import HEADERS, NUMBERS, write_enhanced


@pytest.fixture
def enhanced(patient: PhantomCase, tmp_path: Path) -> Callable[..., Facts]:
    """Return a function that writes an enhanced object, changes it, and returns what is read of it."""

    def make(modality: str, change: Callable[[Any], None] = lambda image: None) -> Facts:
        import pydicom

        path = tmp_path / modality / "IM"
        write_enhanced(path, patient.images[modality], NUMBERS[modality], HEADERS[modality])
        image = pydicom.dcmread(path)
        change(image)
        image.save_as(path)
        (series,) = read_series(path.parent)
        return series.facts

    return make


def test_the_functional_groups_of_an_enhanced_object_are_read(enhanced: Callable[..., Facts]) -> None:
    facts = [enhanced(modality) for modality in HEADERS]
    assert [judged.modality for judged in judge_study(facts)] == list(HEADERS)
    assert all(judged.certain for judged in judge_study(facts))
    flair = facts[-1]
    assert (flair.te, flair.tr, flair.ti, flair.scanning) == ((120.0,), 9000.0, 2500.0, ("SE", "IR"))
    assert (flair.slices, flair.directions, flair.gaps, flair.sop_class) == (32, 1, False, "Enhanced MR Image")
    assert facts[1].agent == "gadobutrol"


def test_frames_of_several_kinds_are_left_out(enhanced: Callable[..., Facts]) -> None:
    def second_echo(image: Any) -> None:
        image.PerFrameFunctionalGroupsSequence[5].MREchoSequence[0].EffectiveEchoTime = 20

    def phase(image: Any) -> None:
        image.ComplexImageComponent = "PHASE"

    def missing_frame(image: Any) -> None:
        place = image.PerFrameFunctionalGroupsSequence[5].PlanePositionSequence[0]
        place.ImagePositionPatient = [v + 1.5 for v in place.ImagePositionPatient]

    for change, reason in (
        (second_echo, "it holds 2 echo times"),
        (phase, "not a magnitude image (PHASE)"),
        (missing_frame, "distances between its slices differ"),
    ):
        (judged,) = judge_study([enhanced("t2", change)])
        assert judged.excluded
        assert reason in judged.reasons[-1]


def test_the_defaults_of_facts_are_those_of_a_plain_volume() -> None:
    assert (Facts().modality, Facts().agent, Facts().directions) == ("MR", None, 1)
