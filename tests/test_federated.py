"""Only the student leaves; what comes in finds it again. tests/bundle/test_federated.py runs MONAI's client."""

from __future__ import annotations

import pytest
import torch
from monai.fl.utils.exchange_object import ExchangeObject

from pkdr_monai.federated import from_student, to_student
from pkdr_monai.networks import Distiller, PatchSelectionHead, PatchVNet


@pytest.fixture
def distiller() -> Distiller:
    teacher = PatchVNet(4, init_filters=2, patch_head=True)
    return Distiller(PatchVNet(1, init_filters=2), teacher, student_heads={"patch_logits": PatchSelectionHead(32)})


def test_what_goes_out_is_the_deployable_network(distiller: Distiller) -> None:
    sent = from_student(ExchangeObject(weights=distiller.state_dict())).weights
    expected = distiller.student.state_dict()
    assert set(sent) == set(expected)
    assert all(torch.equal(sent[name], expected[name]) for name in expected)


def test_what_comes_in_fits_the_trainers_and_the_evaluators_network(distiller: Distiller) -> None:
    sent = PatchVNet(1, init_filters=2).state_dict()
    received = to_student(ExchangeObject(weights=dict(sent))).weights
    assert set(distiller.student.state_dict()) <= set(received)
    assert {name for name in distiller.state_dict() if name.startswith("student.")} <= set(received)


def test_weights_of_a_file_go_out_as_they_are() -> None:
    assert from_student(ExchangeObject(weights={"stem": 1})).weights == {"stem": 1}


def test_the_rest_of_the_answer_stays(distiller: Distiller) -> None:
    answer = ExchangeObject(weights=distiller.state_dict(), statistics={"iterations": 3})
    assert from_student(answer).statistics == {"iterations": 3}
