"""Whether an image looks like the modality that it is given as, by the order of its intensities inside the brain.

T2 has bright fluid and dark white matter; T1 and FLAIR have dark fluid; T1ce has few very bright voxels, vessels and
enhancing tumour, which T1 lacks. Twelve figures that neither scale nor a tumour changes much say so, and a logistic
model, whose fit is at the end of this file, weighs them. docs/predict.md has how it was made and how often it is
right.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import combinations

import numpy as np
from scipy import ndimage

from pkdr_monai.data.geometry import voxel_sizes
from pkdr_monai.modalities import MODALITIES

__all__ = ["FEATURES", "Doubt", "doubtful_modalities", "doubtful_size", "image_features", "log_odds", "squeeze"]

FEATURES = {
    "p1": "the darkest 1 % of the brain lies",
    "p5": "the darkest 5 % of the brain lie",
    "p10": "the darkest 10 % of the brain lie",
    "p90": "the brightest 10 % of the brain lie",
    "p99": "the brightest 1 % of the brain lies",
    "p99.8": "the brightest 0.2 % of the brain, such as vessels and enhancing tumour, lie",
    "rim": "the brain's rim, with fluid in its furrows, lies",
    "below the cortex": "the white matter below the cortex lies",
    "deep dark": "the darkest 2 % of the deep brain, such as ventricles where fluid is dark, lie",
    "deep bright": "the brightest 2 % of the deep brain, such as ventricles where fluid is bright, lie",
    "smooth": "even tissue, mostly white matter, lies",
    "rough": "uneven tissue, such as the borders of fluid, lies",
}
"""What is measured, each in interquartile ranges from the brain's median."""

COARSE_MM = 2.5  # voxels are skipped down to about this size
FEWEST_VOXELS = 15_000  # of the brain, after that; voxels of 4 mm give as many
RIM_MM, WHITE_MM, DEEP_MM = 3.5, (12.0, 20.0), 20.0
FEWEST_DEEP = 50
BLUR_MM = 2.0
DOUBT = 1.0  # log odds by which another modality must be likelier
SWAP = 2.0  # the same for two images together
SIZES_ML = (1068.0, 1722.0)  # brains of 70 synthetic patients of the wide setting and of 24 cases of BraTS 2018
MARGIN_ML = 70.0


@dataclass(frozen=True)
class Doubt:
    """Images that look like other modalities than those that they are given as.

    Args:
        modalities: what they are given as.
        what: a sentence without a full stop: what they look like, and why.
    """

    modalities: tuple[str, ...]
    what: str


def image_features(image: np.ndarray, affine: np.ndarray) -> np.ndarray | None:
    """Measure the order of intensities of a skull-stripped brain.

    Args:
        image: ``(X, Y, Z)``, finite; 0 outside the brain.
        affine: voxel index to position in mm, ``(4, 4)``.

    Returns:
        The figures of :data:`FEATURES`, ``(12,)``; ``None`` where there is too little brain, or all of it is alike.
    """
    spacing = voxel_sizes(affine)
    steps = [max(1, int(COARSE_MM // size)) for size in spacing]
    coarse = image[tuple(slice(None, None, step) for step in steps)].astype(np.float32)
    shown = np.nonzero(coarse)
    if len(shown[0]) < FEWEST_VOXELS:
        return None
    coarse = np.pad(coarse[tuple(slice(axis.min(), axis.max() + 1) for axis in shown)], 1)
    sizes = np.array(spacing) * steps
    brain = coarse != 0
    depth = ndimage.distance_transform_edt(brain, sampling=sizes)[brain]
    values = coarse[brain]
    median, spread = np.median(values), np.subtract(*np.percentile(values, [75, 25]))
    if not spread > 0 or np.count_nonzero(depth > DEEP_MM) < FEWEST_DEEP:
        return None
    z = (values - median) / spread
    filled = np.where(brain, coarse, median)
    steep = ndimage.gaussian_gradient_magnitude(filled, BLUR_MM / sizes)[brain]
    inner, deep = depth > 6, z[depth > DEEP_MM]
    flat, sharp = np.percentile(steep[inner], [20, 90])
    white = (depth >= WHITE_MM[0]) & (depth < WHITE_MM[1])
    return np.array(
        [
            *np.percentile(z, [1, 5, 10, 90, 99, 99.8]),
            np.median(z[depth < RIM_MM]) if (depth < RIM_MM).any() else np.median(z[depth <= depth.min()]),
            np.median(z[white]),
            *np.percentile(deep, [2, 98]),
            np.median(z[inner & (steep <= flat)]),
            np.median(z[inner & (steep >= sharp)]),
        ]
    )


def log_odds(features: np.ndarray) -> dict[str, float]:
    """Return the logarithm of each modality's probability.

    Args:
        features: as :func:`image_features` returns them, ``(12,)``.
    """
    scores = _standard(features) @ np.array(WEIGHTS) + np.array(BIAS)
    scores -= scores.max()
    scores -= np.log(np.exp(scores).sum())
    return dict(zip(MODALITIES, map(float, scores), strict=True))


def squeeze(features: np.ndarray) -> np.ndarray:
    """Return features with their far ends drawn in, so that one very bright spot does not decide."""
    drawn: np.ndarray = np.sign(features) * np.log1p(np.abs(features))
    return drawn


def doubtful_modalities(features: Mapping[str, np.ndarray | None]) -> Iterator[Doubt]:
    """Yield pairs of images that look swapped, and single images that look like another modality.

    Args:
        features: what was measured, by the modality that the image is given as; ``None`` is passed over.
    """
    known = {modality: measured for modality, measured in features.items() if measured is not None}
    odds = {modality: log_odds(measured) for modality, measured in known.items()}
    swapped: set[str] = set()
    pairs = [(_gain(odds, *pair), pair) for pair in combinations(known, 2)]
    for gain, (one, other) in sorted(pairs, reverse=True):
        if gain > SWAP and not {one, other} & swapped:
            swapped |= {one, other}
            reason = _reason(known[one], one, other)
            yield Doubt((one, other), f"{one} and {other} look swapped: in what is given as {one}, {reason}")
    for modality in known:
        likeliest = max(odds[modality], key=lambda name: odds[modality][name])
        if modality not in swapped and odds[modality][likeliest] - odds[modality][modality] > DOUBT:
            reason = _reason(known[modality], modality, likeliest)
            yield Doubt((modality,), f"{modality} looks like {likeliest}: {reason}")


def doubtful_size(image: np.ndarray, affine: np.ndarray) -> str:
    """Say that a brain is smaller or larger than those of training and measurement; ``""`` where it is not."""
    volume = float(np.count_nonzero(image)) * float(np.prod(voxel_sizes(affine))) / 1000
    least, most = SIZES_ML
    if least - MARGIN_ML <= volume <= most + MARGIN_ML:
        return ""
    side = "smaller" if volume < least else "larger"
    known = f"of {least:,.0f} to {most:,.0f} mL"
    return f"shows a brain of {volume:,.0f} mL, {side} than those {known} that the weights were trained or measured on"


def _gain(odds: Mapping[str, Mapping[str, float]], one: str, other: str) -> float:
    return odds[one][other] + odds[other][one] - odds[one][one] - odds[other][other]


def _reason(features: np.ndarray, given: str, like: str) -> str:
    """Name the feature that favours most the one modality against the other."""
    places = {modality: place for place, modality in enumerate(MODALITIES)}
    weights = np.array(WEIGHTS)
    usual = squeeze(np.array(USUAL))
    middle = (usual[places[given]] + usual[places[like]]) / 2
    said = (squeeze(features) - middle) / np.array(SCALE) * (weights[:, places[like]] - weights[:, places[given]])
    place = int(np.argmax(said))
    value, expected = features[place], [USUAL[places[modality]][place] for modality in (given, like)]
    where = f"{abs(value):.1f} interquartile ranges {'above' if value >= 0 else 'below'} its median"
    return f"{list(FEATURES.values())[place]} {where} (usual: {given} {expected[0]:+.1f}, {like} {expected[1]:+.1f})"


def _standard(features: np.ndarray) -> np.ndarray:
    standard: np.ndarray = (squeeze(features) - np.array(CENTRE)) / np.array(SCALE)
    return standard


# The fit, as ``python -m experiments.modality_likeness`` writes it. CENTRE and SCALE standardise the twelve features,
# WEIGHTS (12, 4) and BIAS (4,) make log odds of T1, T1ce, T2 and FLAIR of them. USUAL (4, 12) holds the features'
# medians over twelve cases of BraTS 2018, to say them.

CENTRE = [-1.0368, -0.8467, -0.6916, 0.7061, 1.2432, 1.4529, -0.3074, 0.0444, -0.8767, 1.1448, 0.0151, 0.2173]
SCALE = [0.2903, 0.2488, 0.1805, 0.165, 0.3724, 0.4384, 0.3978, 0.1012, 0.2498, 0.3754, 0.2629, 0.3684]
WEIGHTS = [
    [-0.414, 0.385, -0.1881, 0.2171],
    [-0.094, 0.5717, -0.8016, 0.3239],
    [0.5435, 0.4051, -0.1233, -0.8253],
    [1.0781, -0.0857, -0.0688, -0.9236],
    [-0.5936, 0.5369, 0.1693, -0.1125],
    [-1.5374, 1.7357, 0.0085, -0.2068],
    [0.0338, -0.2042, 0.411, -0.2406],
    [1.3278, 0.3837, -1.4147, -0.2967],
    [0.3534, -0.4382, 1.6708, -1.586],
    [-1.3033, -0.6524, 0.624, 1.3318],
    [0.1324, 1.1775, -1.513, 0.2032],
    [-0.3365, -0.8291, -0.2006, 1.3662],
]
BIAS = [-0.8949, 1.2413, -1.272, 0.9257]
USUAL = [
    [-2.081, -1.638, -1.2365, 0.776, 1.2663, 1.6281, -0.7416, 0.2074, -1.6044, 1.0339, 0.343, -0.0912],
    [-2.4083, -1.6029, -1.1311, 0.8835, 3.0259, 4.9875, -0.3423, 0.1, -1.768, 1.8243, 0.1993, -0.0922],
    [-1.3991, -0.8079, -0.6424, 1.6883, 3.6906, 4.494, 0.1316, -0.0981, -0.7429, 3.9365, -0.3438, 0.8756],
    [-2.7292, -2.0281, -1.4281, 1.2248, 3.6156, 4.8665, -0.4226, 0.0, -2.2576, 3.8771, -0.0566, 0.4961],
]
