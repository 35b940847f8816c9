"""From probabilities to a label map, its volumes, and how sure it is."""

from __future__ import annotations

import torch
from scipy import ndimage

from pkdr_monai.regions import REGIONS, regions_to_label, small_et_to_necrosis

__all__ = ["binary_regions", "entropy", "label_map", "region_volumes"]

THRESHOLD = 0.5
LOW, HIGH = 0.75, 0.25  # thresholds of the small and the large end of a volume's interval


def binary_regions(probabilities: torch.Tensor, smallest: float = 0.0, threshold: float = THRESHOLD) -> torch.Tensor:
    """Return where each region is, without its small pieces.

    A piece is a set of voxels of a region that touch each other, by a corner at least. Regions stay nested: what lies
    within a piece that is removed is smaller than it, and is removed too.

    Args:
        probabilities: of TC, WT and ET, nested, ``(3, X, Y, Z)``.
        smallest: pieces with fewer voxels are removed; 0 keeps all.
        threshold: a voxel is in a region from this probability on.

    Returns:
        Regions, bool, ``(3, X, Y, Z)``.

    Example:
        >>> probabilities = torch.tensor([0.9, 0.0, 0.9, 0.9]).expand(3, 1, 1, 4)
        >>> binary_regions(probabilities, smallest=2)[1].flatten().tolist()
        [False, False, True, True]
    """
    regions = probabilities >= threshold
    if smallest <= 0:
        return regions
    return torch.stack([_without_small_pieces(region, smallest) for region in regions])


def label_map(regions: torch.Tensor, label_scheme: str) -> torch.Tensor:
    """Return the label map of nested regions, uint8, ``(X, Y, Z)``."""
    return regions_to_label(regions, label_scheme)[0]


def region_volumes(
    probabilities: torch.Tensor, voxel_volume: float, smallest: float = 0.0, et_rule: float = 0.0
) -> dict[str, dict[str, float]]:
    """Return the volume of each region in mL, with an interval.

    The volume is that of the voxels with a probability of at least 0.5, as in the label map. The interval goes from the
    volume at 0.75 to that at 0.25: it is wide where the border is blurred. It says how the volume depends on the
    threshold, and is **not calibrated**: no claim is made of how often it holds the true volume, and a tumour that the
    model overlooks altogether has an interval of nothing.

    Args:
        probabilities: of TC, WT and ET, nested, ``(3, X, Y, Z)``.
        voxel_volume: of one voxel, mm³.
        smallest: as in :func:`binary_regions`, at each of the three thresholds.
        et_rule: as in :func:`~pkdr_monai.regions.small_et_to_necrosis`, likewise.

    Returns:
        ``ml``, ``low`` and ``high`` of each region.

    Example:
        >>> probabilities = torch.tensor([0.3, 0.6, 0.8]).expand(3, 1, 1, 3)
        >>> region_volumes(probabilities, voxel_volume=1000.0)["wt"]
        {'ml': 2.0, 'low': 1.0, 'high': 3.0}
    """
    volumes: dict[str, dict[str, float]] = {region: {} for region in REGIONS}
    for name, threshold in (("ml", THRESHOLD), ("low", LOW), ("high", HIGH)):
        regions = small_et_to_necrosis(binary_regions(probabilities, smallest, threshold), et_rule, voxel_volume)
        counts = regions.flatten(1).sum(1).tolist()
        for region, count in zip(REGIONS, counts, strict=True):
            volumes[region][name] = count * voxel_volume / 1000
    return volumes


def entropy(probabilities: torch.Tensor) -> torch.Tensor:
    """Return how unsure a probability is: 0 bit for 0 and 1, 1 bit for 0.5.

    Of several mirror images or students it is the entropy of their mean, so that it is large where they are unsure, and
    where they contradict each other.

    Args:
        probabilities: any shape.

    Example:
        >>> entropy(torch.tensor([0.0, 0.5, 1.0])).tolist()
        [0.0, 1.0, 0.0]
    """
    other = 1 - probabilities
    nats = torch.special.entr(probabilities) + torch.special.entr(other)
    return nats / torch.log(torch.tensor(2.0))


def _without_small_pieces(region: torch.Tensor, smallest: float) -> torch.Tensor:
    pieces, _ = ndimage.label(region.numpy(), structure=ndimage.generate_binary_structure(3, 3))
    pieces = torch.from_numpy(pieces).long()
    large = torch.bincount(pieces.flatten()) >= smallest
    large[0] = False  # the background
    return large[pieces]
