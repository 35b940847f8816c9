"""Steps in bfloat16 lose what as many steps in float32 lose, within a bound that is stated."""

from __future__ import annotations

import pytest
import torch

from pkdr_monai.losses import PKDRLoss
from pkdr_monai.modalities import MODALITIES
from pkdr_monai.networks import Distiller, PatchSelectionHead, PatchVNet, Projector
from pkdr_monai.phantom import make_case
from pkdr_monai.regions import label_to_regions
from pkdr_monai.system import computes_in_bfloat16

LONG, SHORT = (200, 20, 0.8), (24, 6, 0.95)  # steps, window, and what is left of the loss at the end, at most
STEPS, WINDOW, LEFT = LONG if computes_in_bfloat16() else SHORT  # emulated, 200 steps take the better part of an hour
SIDE = 48  # bfloat16 on the CPU needs a first side of more than 32
BOUND = 0.05  # relative difference of the loss, averaged over WINDOW steps


def _case() -> tuple[torch.Tensor, torch.Tensor]:
    case = make_case(seed=3, shape=(80, 80, 64), spacing=(2.5, 2.5, 2.5), grade="HGG")
    image = torch.stack([torch.from_numpy(case.images[name].astype("float32")) for name in MODALITIES])
    brain = image[0] > 0
    image = (image - image[:, brain].mean(1)[:, None, None, None]) / image[:, brain].std(1)[:, None, None, None] * brain
    return image, label_to_regions(torch.from_numpy(case.label))


def _losses(student_dtype: str | None, teacher_dtype: str | None) -> list[float]:
    """Return the loss of each step; crops, weights and order are those of the seed alone."""
    torch.manual_seed(0)
    image, label = _case()
    student, teacher, projector = (
        PatchVNet(1, init_filters=4),
        PatchVNet(4, init_filters=4, patch_head=True),
        Projector(64),
    )
    heads = {"patch_logits": PatchSelectionHead(64), "projection": projector}
    distiller = Distiller(
        student,
        teacher,
        [2],
        heads,
        {"projection": projector},
        teacher_dtype=teacher_dtype,
        student_dtype=student_dtype,
    ).train()
    optimizer = torch.optim.Adam(distiller.parameters(), lr=1e-3)
    loss, draw = PKDRLoss(), torch.Generator().manual_seed(1)
    losses = []
    for _ in range(STEPS):
        corners = [int(torch.randint(size - SIDE + 1, (), generator=draw)) for size in image.shape[1:]]
        crop = (slice(None), *(slice(corner, corner + SIDE) for corner in corners))
        optimizer.zero_grad()
        value = loss(distiller(image[crop][None]), label[crop][None])
        value.backward()
        optimizer.step()
        losses.append(float(value.detach()))
    return losses


@pytest.fixture(scope="module")
def exact() -> torch.Tensor:
    return torch.tensor(_losses(None, None))


@pytest.mark.parametrize("dtypes", [(None, "bfloat16"), ("bfloat16", "bfloat16")])
def test_low_precision_learns_the_same(dtypes: tuple[str | None, str], exact: torch.Tensor) -> None:
    low = torch.tensor(_losses(*dtypes))
    assert bool(low.isfinite().all())
    averaged = [losses.unfold(0, WINDOW, WINDOW).mean(1) for losses in (low, exact)]
    assert exact[-WINDOW:].mean() < LEFT * exact[:WINDOW].mean()  # it does learn
    difference = ((averaged[0] - averaged[1]).abs() / averaged[1]).max()
    assert float(difference) < BOUND
