"""The Distiller trains the student and leaves the teacher as it was."""

from __future__ import annotations

import copy
import shutil

import pytest
import torch
from monai.data import MetaTensor

from pkdr_monai.losses import PKDRLoss
from pkdr_monai.networks import AnySubsetVNet, Distiller, PatchSelectionHead, PatchVNet, Projector

IMAGE = torch.randn(2, 4, 32, 16, 16, generator=torch.Generator().manual_seed(0))


def _distiller(teacher_dtype: str | None = None, compile: bool | str = False) -> tuple[Distiller, PatchVNet]:
    torch.manual_seed(0)
    teacher = PatchVNet(4, init_filters=2, patch_head=True)
    projector = Projector(32, out_channels=8)
    distiller = Distiller(
        PatchVNet(1, init_filters=2),
        teacher,
        channels=[2],
        student_heads={"patch_logits": PatchSelectionHead(32), "projection": projector},
        teacher_heads={"projection": projector},
        teacher_dtype=teacher_dtype,
        compile=compile,
    )
    return distiller, teacher


def _total(prediction: dict[str, dict[str, torch.Tensor]]) -> torch.Tensor:
    return sum((value.square().sum() for part in prediction.values() for value in part.values()), torch.zeros(()))


def test_a_step_changes_nothing_in_the_teacher() -> None:
    distiller, teacher = _distiller()
    before = copy.deepcopy(teacher.state_dict())
    optimizer = torch.optim.SGD(distiller.parameters(), lr=0.1)
    distiller.train()
    _total(distiller(IMAGE)).backward()
    optimizer.step()
    torch.testing.assert_close(teacher.state_dict(), before, rtol=0, atol=0)
    assert all(parameter.grad is None for parameter in teacher.parameters())
    assert not teacher.training


def test_no_output_of_the_teacher_has_a_graph() -> None:
    distiller, _ = _distiller()
    teacher = distiller.train()(IMAGE)["teacher"]
    projection = teacher.pop("projection")
    assert not any(value.requires_grad for value in teacher.values())
    assert projection.requires_grad, "the shared projector learns from the teacher's side too"


def test_every_trained_parameter_gets_a_gradient() -> None:
    distiller, _ = _distiller()
    _total(distiller.train()(IMAGE)).backward()
    silent = [name for name, p in distiller.named_parameters() if p.grad is None or not p.grad.any()]
    assert silent == []


def test_the_shared_projector_is_trained_once_and_learns_from_both_sides() -> None:
    distiller, _ = _distiller()
    parameters = list(distiller.parameters())
    assert len(parameters) == len({id(parameter) for parameter in parameters})
    distiller(IMAGE)["teacher"]["projection"].sum().backward()
    assert distiller.student_heads["projection"].layers[0].weight.grad.any()
    assert all(parameter.grad is None for parameter in distiller.student.parameters())


def test_the_student_sees_its_own_modality_alone() -> None:
    distiller, _ = _distiller()
    distiller.eval()
    other = IMAGE.clone()
    other[:, [0, 1, 3]] += 1.0
    torch.testing.assert_close(distiller(other)["student"]["logits"], distiller(IMAGE)["student"]["logits"])
    torch.testing.assert_close(distiller(IMAGE)["student"]["logits"], distiller.student(IMAGE[:, 2:3]))


def test_checkpoints_hold_no_teacher() -> None:
    distiller, _ = _distiller()
    assert {name.split(".")[0] for name in distiller.state_dict()} == {"student", "student_heads", "teacher_heads"}
    assert not any("head" in name or "project" in name for name in distiller.student.state_dict())


def test_a_low_precision_teacher_says_the_same_and_is_a_copy() -> None:
    exact, _ = _distiller()
    low, teacher = _distiller("bfloat16")
    first, second = exact.eval()(IMAGE)["teacher"], low.eval()(IMAGE)["teacher"]
    for name in ("logits", "patch_logits", "embedding"):
        assert second[name].dtype == torch.float32
        scale = first[name].abs().max()
        torch.testing.assert_close(second[name] / scale, first[name] / scale, rtol=0, atol=0.05)
    assert next(teacher.parameters()).dtype == torch.float32
    assert low.teacher is not teacher


@pytest.mark.parametrize(
    ("native", "asked", "student", "teacher", "warnings"),
    [
        (True, "auto", torch.bfloat16, torch.bfloat16, []),
        (False, "auto", torch.float32, torch.float32, []),
        (True, "bfloat16", torch.bfloat16, torch.bfloat16, []),
        (False, "bfloat16", torch.bfloat16, torch.bfloat16, ["teacher_dtype", "student_dtype"]),
        (False, None, torch.float32, torch.float32, []),
    ],
)
def test_auto_is_bfloat16_where_it_is_fast_and_emulation_is_warned_of(
    native: bool,
    asked: str | None,
    student: torch.dtype,
    teacher: torch.dtype,
    warnings: list[str],
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    monkeypatch.setattr("pkdr_monai.networks.distiller.computes_in_bfloat16", lambda device: native)
    networks = PatchVNet(4, init_filters=2), PatchVNet(4, init_filters=2, patch_head=True)
    distiller = Distiller(*networks, student_dtype=asked, teacher_dtype=asked)
    assert distiller.eval()(IMAGE)["student"]["logits"].dtype == student
    assert next(distiller.teacher.parameters()).dtype == teacher
    assert distiller.precision == {"student": str(student)[6:], "teacher": str(teacher)[6:]}
    assert [record.getMessage().split()[0] for record in caplog.records] == warnings


def test_moving_the_distiller_moves_the_teacher_but_not_its_precision() -> None:
    distiller, _ = _distiller("bfloat16")
    distiller.to("meta").double()
    parameter = next(distiller.teacher.parameters())
    assert parameter.device.type == "meta"
    assert parameter.dtype == torch.bfloat16


def test_without_a_teacher_a_network_trains_alone() -> None:
    distiller = Distiller(PatchVNet(4, init_filters=2, patch_head=True))
    prediction = distiller(IMAGE)
    assert sorted(prediction) == ["student"]
    assert sorted(prediction["student"]) == ["decoder_feature", "embedding", "image", "logits", "patch_logits"]


class Moments(torch.nn.Module):
    inputs = ("embedding", "image")

    def forward(self, embedding: torch.Tensor, image: torch.Tensor) -> dict[str, torch.Tensor]:
        return {"mean": embedding.mean((1, 2, 3, 4)), "deviation": image.std((1, 2, 3, 4))}


def test_a_head_reads_what_it_names_and_may_return_several_tensors() -> None:
    student = Distiller(PatchVNet(1, init_filters=2), channels=[2], student_heads={"moments": Moments()})(IMAGE)[
        "student"
    ]
    torch.testing.assert_close(student["moments.mean"], student["embedding"].mean((1, 2, 3, 4)))
    torch.testing.assert_close(student["moments.deviation"], IMAGE[:, 2:3].std((1, 2, 3, 4)))


def test_metadata_does_not_travel_through_the_networks() -> None:
    distiller, _ = _distiller()
    assert type(distiller(MetaTensor(IMAGE))["student"]["logits"]) is torch.Tensor


def test_heads_without_a_teacher_are_refused() -> None:
    with pytest.raises(ValueError, match="without a teacher"):
        Distiller(PatchVNet(1, init_filters=2), teacher_heads={"projection": Projector(32)})


def test_an_unknown_precision_is_refused() -> None:
    with pytest.raises(ValueError, match="teacher_dtype must be one of"):
        Distiller(PatchVNet(1, init_filters=2), teacher_dtype="int8")


@pytest.mark.slow
@pytest.mark.skipif(not shutil.which("gcc"), reason="torch.compile needs a compiler")
def test_compiled_steps_have_the_losses_of_eager_ones() -> None:
    histories, label = [], torch.zeros(2, 3, 32, 16, 16)
    label[:, :, 8:20, 4:12, 4:12] = 1
    for compile in ("false", "true"):
        distiller, _ = _distiller(compile=compile)
        optimizer, loss = torch.optim.Adam(distiller.train().parameters(), lr=1e-3), PKDRLoss()
        histories.append([])
        for _ in range(3):
            optimizer.zero_grad()
            value = loss(distiller(IMAGE), label)
            value.backward()
            optimizer.step()
            histories[-1].append(value.item())
    assert torch._dynamo.utils.counters["stats"]["unique_graphs"] >= 1
    assert histories[1] == pytest.approx(histories[0], rel=1e-4)


def test_compiling_renames_no_parameter() -> None:
    compiled, eager = _distiller(compile=True)[0], _distiller()[0]
    assert compiled._compiled_call_impl is not None
    assert eager._compiled_call_impl is None
    assert list(compiled.state_dict()) == list(eager.state_dict())


def test_samples_that_lack_a_modality_are_marked() -> None:
    image = IMAGE.clone()
    image[1, 3] = 0
    networks = AnySubsetVNet(init_filters=2), PatchVNet(4, init_filters=2)
    assert "complete" not in Distiller(*networks)(image)["teacher"]
    prediction = Distiller(*networks, incomplete=True)(image)
    assert prediction["teacher"]["complete"].tolist() == [True, False]


def test_incomplete_cases_are_for_a_student_for_any_subset() -> None:
    with pytest.raises(ValueError, match=r"serve a student for any subset .*any_subset\.json"):
        Distiller(PatchVNet(1, init_filters=2), channels=[2], incomplete=True)
