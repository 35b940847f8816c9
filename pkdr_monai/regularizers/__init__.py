"""The subtasks that the paper compares patch selection with (Table 2), one file each.

A subtask is a head on the network's features and a loss that reads what the head makes of them, and a short config
under ``experiments/table2`` that names both. The boundary's outlines take part in the segmentation, so it brings a
network in place of a head. Patch selection, the paper's own, is in :mod:`pkdr_monai.losses`. The losses keep the
contract that is written there.
"""

from pkdr_monai.regularizers.boundary import BoundaryLoss, BoundaryVNet, boundary_terms, inner_border
from pkdr_monai.regularizers.fusion import FusionHead, FusionLoss, min_max_scaled
from pkdr_monai.regularizers.vae import VAEHead, VAELoss, kl_divergence

__all__ = [
    "BoundaryLoss",
    "BoundaryVNet",
    "FusionHead",
    "FusionLoss",
    "VAEHead",
    "VAELoss",
    "boundary_terms",
    "inner_border",
    "kl_divergence",
    "min_max_scaled",
]
