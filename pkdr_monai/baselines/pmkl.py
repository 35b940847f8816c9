"""PMKL (Chen et al., IEEE TMI 2022): learn from the teacher where it is right, and distinguish its images."""

from __future__ import annotations

from typing import ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from pkdr_monai.baselines.softmax import Convention, check_convention, regions_to_classes, supervised_loss
from pkdr_monai.losses.base import (
    DistillationLoss,
    Prediction,
    at_least_float32,
    check_positive,
    check_same_shape,
    check_weight,
    full_precision,
    plain,
    predicted,
    predicted_by_both,
)

__all__ = ["DescriptorHead", "PMKLLoss", "descriptor_contrast", "regularized_kd"]


class PMKLLoss(DistillationLoss):
    r"""Train a one-modality student on its labels, on its teacher's better voxels, and on a descriptor of each image.

    .. math::
        L = L_{seg} + 0.5 \, L_{rkd} + 0.5 \, L_{ckd}

    :math:`L_{rkd}` is pixel distillation restricted to the voxels where the teacher is right, weighted by how much
    better it is than the student, see :func:`regularized_kd`. :math:`L_{ckd}` draws the student's descriptor of an
    image towards the teacher's of the same image and away from those of the others, see :func:`descriptor_contrast`.

    How sure this is: terms, weights, temperature and margin were read in the authors' public code, which was not
    copied, as it has no licence. Readings taken: the supervised loss is that of the other methods; with regions, each
    is a two-class problem of its own and the sum runs over them; the code's L2 penalty of 1e-5 on kernels is the
    optimiser's weight decay; network, crop and recipe are those of the other methods.

    Args:
        rkd_weight: weight of the regularised distillation, 0 or more.
        ckd_weight: weight of the contrastive distillation, 0 or more.
        temperature: T of the regularised distillation, above 0; no :math:`T^2`.
        margin: distance beyond which the descriptors of two images no longer repel each other, above 0.
        convention: ``"regions"``, three sigmoids, or ``"softmax"``, four classes (the original: five).

    Attributes:
        weights: the weight of each term, by name.
        parts: after a call, the value of each term before its weight.

    Raises:
        ValueError: when an argument is out of its range.

    Example:
        >>> label = torch.zeros(1, 3, 16, 16, 16)
        >>> student = {"logits": torch.zeros(1, 3, 16, 16, 16), "descriptor": torch.tensor([[1.0, 0.0]])}
        >>> teacher = {"logits": torch.full((1, 3, 16, 16, 16), -4.0), "descriptor": torch.tensor([[0.0, 1.0]])}
        >>> loss = PMKLLoss()
        >>> total = loss({"student": student, "teacher": teacher}, label)
        >>> {name: f"{value:.3f}" for name, value in loss.parts.items()}
        {'segmentation': '5.079', 'regularized_kd': '2.079', 'contrastive_kd': '2.000'}
    """

    described: ClassVar[tuple[str, ...]] = ("temperature", "margin", "convention")

    def __init__(
        self,
        rkd_weight: float = 0.5,
        ckd_weight: float = 0.5,
        temperature: float = 10.0,
        margin: float = 1.0,
        convention: Convention = "regions",
    ) -> None:
        super().__init__({"segmentation": 1.0, "regularized_kd": rkd_weight, "contrastive_kd": ckd_weight})
        check_weight("PMKLLoss", rkd_weight=rkd_weight)
        check_weight("PMKLLoss", ckd_weight=ckd_weight)
        check_positive("PMKLLoss", temperature=temperature)
        check_positive("PMKLLoss", margin=margin)
        self.convention = check_convention("PMKLLoss", convention)
        self.temperature = temperature
        self.margin = margin

    def forward(self, prediction: Prediction, label: Tensor) -> Tensor:
        """Return the weighted sum, a scalar, and leave its terms in :attr:`parts`.

        Args:
            prediction: ``{"student": ..., "teacher": ...}``, each with ``"logits"`` ``(B, C, X, Y, Z)`` and
                ``"descriptor"`` ``(B, D)``, which a :class:`~pkdr_monai.baselines.DescriptorHead` makes.
            label: regions, 1 inside and 0 outside, ``(B, 3, X, Y, Z)``.

        Raises:
            ValueError: when a tensor is missing that a term needs, or shapes do not fit.
        """
        return self.weighted_sum(
            {
                "segmentation": lambda: supervised_loss(
                    predicted("PMKLLoss", prediction, "student", "logits"), label, self.convention
                ),
                "regularized_kd": lambda: regularized_kd(
                    *predicted_by_both("PMKLLoss", prediction, "logits"), label, self.temperature, self.convention
                ),
                "contrastive_kd": lambda: descriptor_contrast(
                    *predicted_by_both("PMKLLoss", prediction, "descriptor"), self.margin
                ),
            }
        )


def regularized_kd(
    student: Tensor, teacher: Tensor, label: Tensor, temperature: float, convention: Convention = "regions"
) -> Tensor:
    r"""Pixel distillation from the voxels where the teacher is right, weighted by its advantage over the student.

    .. math::
        L_{rkd} = \frac{\sum_v m_v \, \mathrm{CE}(q^s_v, q^t_v)}{\sum_v m_v}, \qquad
        m_v = \mathrm{ReLU}(\mathrm{CE}(p^s_v, y_v) - \mathrm{CE}(p^t_v, y_v)) \, [\text{teacher right in } v]

    with :math:`q` softened by the temperature, :math:`p` not, and no gradient through :math:`m`. It is exactly 0 where
    no voxel qualifies. With regions, cross-entropy is binary, the teacher is right where the sign of its logit is, and
    the results of the regions are added.

    Args:
        student: logits, ``(B, C, X, Y, Z)``.
        teacher: logits of the same shape, taken as constants.
        label: regions, ``(B, 3, X, Y, Z)``.
        temperature: T.
        convention: what the channels of the logits are.

    Raises:
        ValueError: when the shapes of student and teacher differ.
    """
    student, teacher, label = plain(student), plain(teacher).detach(), plain(label).detach()
    check_same_shape("PMKLLoss", "Both networks need the same outputs.", student=student, teacher=teacher)
    student, teacher = at_least_float32(student), at_least_float32(teacher)
    compare = _compare_regions if convention == "regions" else _compare_classes
    advantage, cross_entropy = compare(student, teacher, label, temperature)  # (B, C or 1, X, Y, Z)
    each_channel = [0, *range(2, advantage.ndim)]
    weight = advantage.sum(each_channel).clamp_min(torch.finfo(advantage.dtype).tiny)  # so that 0 / 0 is 0
    return ((advantage * cross_entropy).sum(each_channel) / weight).sum()


def descriptor_contrast(student: Tensor, teacher: Tensor, margin: float = 1.0) -> Tensor:
    r"""Draw the two descriptors of an image together, and those of two images at least a margin apart.

    The mean over the B x B pairs of a student's with a teacher's descriptor, at Euclidean distance :math:`d`, of
    :math:`d^2` where both are of one image and :math:`\max(0, margin - d)^2` else. A batch of one has its positive pair
    alone. The gradient flows into both, because both heads learn; the teacher itself is behind the Distiller.

    Args:
        student: descriptors, ``(B, D)``.
        teacher: descriptors, ``(B, D)``.
        margin: the distance, above 0.

    Raises:
        ValueError: when the shapes differ.

    Example:
        >>> one, other = torch.tensor([[1.0, 0.0]]), torch.tensor([[0.0, 1.0]])
        >>> f"{descriptor_contrast(one, other):.1f} {descriptor_contrast(torch.cat([one, one]), torch.cat([one, one]))}"
        '2.0 0.5'
    """
    student, teacher = plain(student), plain(teacher)
    check_same_shape("PMKLLoss", "Give both networks a descriptor head.", student=student, teacher=teacher)
    difference = at_least_float32(student)[:, None] - at_least_float32(teacher)[None]  # (B, B, D)
    with full_precision(difference):
        distance = torch.linalg.vector_norm(difference, dim=-1)  # (B, B), with gradient 0 at distance 0
    same_image = torch.eye(len(distance), dtype=torch.bool, device=distance.device)
    return torch.where(same_image, distance.square(), (margin - distance).relu().square()).mean()


def _compare_regions(student: Tensor, teacher: Tensor, label: Tensor, temperature: float) -> tuple[Tensor, Tensor]:
    """Return the teacher's advantage and the cross-entropy with it, by region, each ``(B, C, X, Y, Z)``."""
    check_same_shape("PMKLLoss", "The label needs one channel for each region.", logits=student, label=label)
    inside = label > 0
    with torch.no_grad():
        target = inside.to(student.dtype)
        errors = [F.binary_cross_entropy_with_logits(logits, target, reduction="none") for logits in (student, teacher)]
        advantage = (errors[0] - errors[1]).relu() * ((teacher > 0) == inside)
        softened = (teacher / temperature).sigmoid()
    return advantage, F.binary_cross_entropy_with_logits(student / temperature, softened, reduction="none")


def _compare_classes(student: Tensor, teacher: Tensor, label: Tensor, temperature: float) -> tuple[Tensor, Tensor]:
    """Return the teacher's advantage and the cross-entropy with it, each ``(B, 1, X, Y, Z)``."""
    with torch.no_grad():
        target = regions_to_classes(label)
        errors = [F.cross_entropy(logits, target, reduction="none") for logits in (student, teacher)]
        advantage = (errors[0] - errors[1]).relu() * (teacher.argmax(1) == target)
        softened = (teacher / temperature).softmax(1)
    cross_entropy = F.cross_entropy(student / temperature, softened, reduction="none")
    return advantage[:, None], cross_entropy[:, None]


class DescriptorHead(nn.Module):
    """Describe an image by one vector of length 1, for student and teacher each by a head of its own; both learn.

    The mean of the last decoder feature over all voxels, then two linear layers with a ReLU between them, the second
    without bias. Widths are those of PMKL's public code, in which neither layer has a bias, so that its descriptor does
    not depend on the feature's scale; the first layer's was kept here for the results recorded with it. The code pools
    a window of 40 voxels a side at stride 1 over crops of 80; the mean over the whole crop is the equivalent taken,
    which suits any crop.

    Args:
        in_channels: channels of the decoder feature.
        hidden_channels: width between the layers.
        out_channels: length of the descriptor.

    Raises:
        ValueError: when a width is not positive.

    Example:
        >>> descriptor = DescriptorHead(16)(torch.rand(2, 16, 8, 8, 8))
        >>> tuple(descriptor.shape), [f"{length:.2f}" for length in descriptor.norm(dim=1)]
        ((2, 16), ['1.00', '1.00'])
    """

    inputs: ClassVar[tuple[str, ...]] = ("decoder_feature",)

    def __init__(self, in_channels: int, hidden_channels: int = 32, out_channels: int = 16) -> None:
        super().__init__()
        if min(in_channels, hidden_channels, out_channels) < 1:
            raise ValueError(
                "in_channels, hidden_channels and out_channels must be positive, "
                f"got {in_channels}, {hidden_channels} and {out_channels}."
            )
        self.layers = nn.Sequential(
            nn.Linear(in_channels, hidden_channels),
            nn.ReLU(inplace=True),
            nn.Linear(hidden_channels, out_channels, bias=False),
        )

    def forward(self, decoder_feature: torch.Tensor) -> torch.Tensor:
        """Return descriptors, ``(B, out_channels)``, of a feature, ``(B, in_channels, X, Y, Z)``."""
        dtype = torch.promote_types(decoder_feature.dtype, torch.float32)
        pooled = decoder_feature.mean((2, 3, 4), dtype=dtype)  # (B, in_channels), summed beyond low precision
        return F.normalize(at_least_float32(self.layers(pooled)), dim=1)
