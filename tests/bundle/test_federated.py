"""MONAI's federated client runs the bundle: it takes the student from a server, and gives back what it learnt."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from monai.fl.client import MonaiAlgo
from monai.fl.utils.constants import ExtraItems, FlStatistics
from monai.fl.utils.exchange_object import ExchangeObject

from pkdr_monai.networks import PatchVNet

from .conftest import ROOT, Bundle

pytestmark = pytest.mark.filterwarnings("ignore:.*provisioned by the FL system")


@pytest.fixture
def client(bundle: Bundle, teacher: Path, tmp_path: Path) -> MonaiAlgo:
    options = bundle.options(output_dir=str(tmp_path), teacher_checkpoint=str(teacher / "models" / "model.pt"))
    algo = MonaiAlgo(
        bundle_root=str(ROOT / "bundle"),
        train_kwargs=dict(options),
        config_evaluate_filename="configs/train.json",
        eval_kwargs=dict(options),
        config_filters_filename="configs/federated.json",
    )
    algo.initialize({ExtraItems.CLIENT_NAME: "hospital"})
    return algo


def _global_student() -> dict[str, torch.Tensor]:
    torch.manual_seed(3)
    return {name: value.clone() for name, value in PatchVNet(1, init_filters=2).state_dict().items()}


def test_the_student_alone_goes_out_and_comes_in_round_by_round(client: MonaiAlgo) -> None:
    weights = _global_student()
    taught = {name: value.clone() for name, value in client.trainer.network.teacher.state_dict().items()}
    for number in (1, 2):
        client.train(ExchangeObject(weights=dict(weights)))
        answer = client.get_weights()
        assert set(answer.weights) == set(weights)
        assert answer.statistics[FlStatistics.NUM_EXECUTED_ITERATIONS] == 2
        weights = {name: value + answer.weights[name] for name, value in weights.items()}
        student = client.trainer.network.student.state_dict()
        assert all(torch.allclose(weights[name].float(), student[name].float(), atol=1e-6) for name in weights)
        assert client.trainer.state.epoch == number
    assert all(torch.equal(value, taught[name]) for name, value in client.trainer.network.teacher.state_dict().items())


def test_a_global_student_is_evaluated_on_the_clients_cases(client: MonaiAlgo) -> None:
    weights = _global_student()
    metrics = client.evaluate(ExchangeObject(weights=dict(weights))).metrics
    assert {"val_mean_dice", "val_mean_dice_tc", "val_mean_dice_wt", "val_mean_dice_et"} <= set(metrics)
    assert all(torch.equal(value, weights[name]) for name, value in client.evaluator.network.state_dict().items())
