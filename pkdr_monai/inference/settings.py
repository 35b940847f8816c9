"""How to segment: everything that a person may choose, checked before anything is read."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from pkdr_monai.data.geometry import require_geometry
from pkdr_monai.errors import InputError
from pkdr_monai.regions import check_et_rule, scheme_labels

__all__ = ["Settings"]

CHOICES = {
    "use": ("best", "all"),
    "blend": ("constant", "gaussian"),
    "precision": ("auto", "float32", "bfloat16"),
    "backend": ("auto", "torch", "onnx", "openvino"),
}

LATER = ("et_rule", "strict")
"""Settings that came after others, and are off unless somebody asks for them."""


@dataclass(frozen=True)
class Settings:
    """How to segment a scan.

    Args:
        use: ``"best"``: the model that sees all modalities at hand, else the one with the best Dice in its own
            evaluation; ``"all"``: the mean of the probabilities of all students.
        fast: the whole brain in one pass, without a sliding window. It needs more memory and sees a voxel at a window's
            border with more around it, so that the result differs a little.
        flips: the mean over all eight mirror images of the scan, for eight times the time.
        window_overlap: part of a window that the next one covers, from 0 to below 1; rounded so that windows start at
            whole patches.
        blend: how windows that overlap are averaged, ``"constant"`` or ``"gaussian"``, which trusts their middles more.
        precision: ``"bfloat16"``, ``"float32"``, or ``"auto"``: bfloat16 where the processor computes in it.
        backend: what computes the network, ``"torch"``, ``"onnx"``, ``"openvino"``, or ``"auto"``: the fastest whose
            result was checked; see :func:`~pkdr_monai.inference.backends.choose_engine`.
        label_scheme: label values to write; ``None`` for those that the model learnt from.
        min_component: connected pieces of a region smaller than this are removed, in mL; 0 removes nothing.
        et_rule: an enhancing tumour of fewer mm³ than this becomes necrosis; 0 leaves it. Probabilities stay.
        save_probabilities: write the probability of each region.
        uncertainty: write the entropy of each region's probability.
        force: segment a scan that does not look like a whole, skull-stripped brain.
        strict: refuse an image that looks like another modality than it is given as, or whose sidecar says that it is.
        geometry: what of a header counts, one of :data:`pkdr_monai.data.geometry.GEOMETRIES`.

    Raises:
        InputError: when a value is out of its range.

    Example:
        >>> Settings(fast=True).blend
        'constant'
    """

    use: str = "best"
    fast: bool = False
    flips: bool = False
    window_overlap: float = 0.5
    blend: str = "constant"
    precision: str = "auto"
    backend: str = "auto"
    label_scheme: str | None = None
    min_component: float = 0.0
    et_rule: float = 0.0
    save_probabilities: bool = False
    uncertainty: bool = False
    force: bool = False
    strict: bool = False
    geometry: str = "header"

    def __post_init__(self) -> None:
        for name, choices in CHOICES.items():
            if getattr(self, name) not in choices:
                raise InputError(f"unknown {name} {getattr(self, name)!r}: choose among {', '.join(choices)}.")
        require_geometry(self.geometry)
        if not 0 <= self.window_overlap < 1:
            raise InputError(f"window_overlap is from 0 to below 1, got {self.window_overlap:g}: 0.5 is usual.")
        if not self.min_component >= 0:
            raise InputError(f"min_component is a volume in mL, 0 or more, got {self.min_component:g}.")
        check_et_rule(self.et_rule)
        if self.label_scheme is not None:
            scheme_labels(self.label_scheme)

    def as_dict(self) -> dict[str, Any]:
        """Return the settings as plain data; those of :data:`LATER` only where they are on.

        What is hashed as a case's key is this: results from before there were such settings stay valid.
        """
        return {name: value for name, value in asdict(self).items() if value or name not in LATER}
