"""What the wide setting's scanner does to an image: slices, ringing, ghosts, bias, noise, gain, misplacement, gaps."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from pkdr_monai.modalities import MODALITIES
from pkdr_monai.phantom.lattice import Array
from pkdr_monai.phantom.signal import (
    TISSUES,
    contrast_enhanced_t1,
    inversion_recovery,
    nulling_inversion_time,
    spin_echo,
)

__all__ = ["BIAS_MM", "WIDE_TISSUES", "WideProtocol", "draw_contrast", "draw_protocol"]

WIDE_TISSUES = (*TISSUES, "cyst", "haemorrhage")
SPREAD = {"pd": 0.05, "t1": 0.15, "t2": 0.15, "agent": 0.6}  # of a tissue's parameters, relative, log-normal
TUMOUR_SPREAD = {"pd": 0.08, "t1": 0.25, "t2": 0.30, "agent": 0.8}
TUMOUR = ("oedema", "enhancing", "nonenhancing", "necrosis", "cyst", "haemorrhage")
EXTRA = {"cyst": (0.98, 3200.0, 900.0, 0.003), "haemorrhage": (0.75, 500.0, 50.0, 0.005)}  # PD, T1, T2, agent
JITTER = 0.06  # of every signal on top of all else, log-normal
FAINT = 0.12  # probability that enhancing tumour hardly enhances

FREE: dict[str, dict[str, tuple[float, float]]] = {
    "t1": {
        "grey": (0.62, 0.97), "deep": (0.65, 0.98), "csf": (0.08, 0.5), "lesion": (0.6, 0.98), "choroid": (0.45, 0.95),
        "blood": (0.3, 1.1), "oedema": (0.5, 0.95), "enhancing": (0.45, 1.0), "nonenhancing": (0.4, 0.9),
        "necrosis": (0.25, 0.8), "cyst": (0.12, 0.6), "haemorrhage": (0.9, 1.9),
    },
    "t1ce": {
        "grey": (0.62, 1.0), "deep": (0.65, 1.0), "csf": (0.08, 0.5), "lesion": (0.6, 0.98), "choroid": (0.8, 2.2),
        "blood": (0.8, 2.6), "oedema": (0.5, 0.95), "enhancing": (1.1, 2.6), "nonenhancing": (0.4, 0.95),
        "necrosis": (0.25, 0.8), "cyst": (0.12, 0.6), "haemorrhage": (0.9, 1.9),
    },
    "t2": {
        "grey": (1.05, 1.8), "deep": (0.85, 1.5), "csf": (1.8, 4.5), "lesion": (1.3, 2.4), "choroid": (1.2, 2.6),
        "blood": (0.2, 1.2), "oedema": (1.35, 3.0), "enhancing": (1.15, 2.6), "nonenhancing": (1.4, 3.2),
        "necrosis": (1.3, 4.0), "cyst": (1.8, 4.5), "haemorrhage": (0.15, 1.0),
    },
    "flair": {
        "grey": (0.98, 1.5), "deep": (0.85, 1.4), "csf": (0.04, 0.6), "lesion": (1.25, 2.3), "choroid": (0.8, 1.8),
        "blood": (0.2, 1.3), "oedema": (1.35, 2.8), "enhancing": (1.05, 2.5), "nonenhancing": (1.15, 2.8),
        "necrosis": (0.4, 2.6), "cyst": (0.1, 1.2), "haemorrhage": (0.2, 1.8),
    },
}  # fmt: skip
"""Free contrast: ranges of the signal relative to white matter, log-uniform."""
OEDEMA_OVER_BRAIN = {"t2": 1.08, "flair": 1.12}  # how far oedema outshines white and grey matter at least


def draw_contrast(rng: np.random.Generator) -> dict[str, dict[str, float]]:
    """Draw the signal of each tissue in each modality, relative to white matter.

    Args:
        rng: source of the draw.

    Example:
        >>> signals = draw_contrast(np.random.default_rng(0))
        >>> signals["flair"]["oedema"] > signals["flair"]["white"] > signals["flair"]["csf"]
        True
    """
    physical = _physical(rng)
    freedom = rng.beta(1.0, 1.3)  # one for all modalities: 0 is physics alone
    faint = rng.random() < FAINT
    signals = {}
    for modality in MODALITIES:
        free = {"white": 1.0}
        free |= {name: float(np.exp(rng.uniform(*np.log(bounds)))) for name, bounds in FREE[modality].items()}
        white = physical[modality]["white"]
        mixed = {}
        for name in WIDE_TISSUES:
            own = np.log(max(physical[modality][name] / white, 0.02))
            mixed[name] = float(np.exp((1.0 - freedom) * own + freedom * np.log(free[name]) + JITTER * rng.normal()))
        signals[modality] = mixed
    for modality, ratio in OEDEMA_OVER_BRAIN.items():
        _lift(signals[modality], ratio * (1.0 + 0.15 * rng.random()))
    if faint:
        signals["t1ce"]["enhancing"] = signals["t1ce"]["white"] * rng.uniform(0.95, 1.15)
    return signals


def _lift(signal: dict[str, float], ratio: float) -> None:
    """Brighten oedema and solid tumour to what makes them visible beside white and grey matter."""
    floor = ratio * max(signal["white"], 0.9 * signal["grey"])
    for name, part in (("oedema", 1.0), ("nonenhancing", 0.97), ("enhancing", 0.9)):
        signal[name] = max(signal[name], part * floor)


def _physical(rng: np.random.Generator) -> dict[str, dict[str, float]]:
    """Draw tissue parameters, field strength and sequences, and return the signals that follow from them."""
    strength = rng.uniform(-0.3, 1.2)  # 0 is 1.5 T, 1 is 3 T
    relaxivity = rng.uniform(2.5, 6.0)
    dose = float(np.exp(rng.uniform(np.log(0.5), np.log(2.5))))
    traits = {}
    for name in WIDE_TISSUES:
        spread = TUMOUR_SPREAD if name in TUMOUR else SPREAD
        if name in EXTRA:
            pd, t1, t2, agent = EXTRA[name]
        else:
            pd, (low1, high1), (low2, high2), agent = TISSUES[name]
            t1, t2 = low1 * (high1 / low1) ** strength, low2 * (high2 / low2) ** strength
        scale = np.exp(rng.standard_normal(4) * np.array(list(spread.values())))
        traits[name] = (pd * scale[0], t1 * scale[1], t2 * scale[2], dose * agent * scale[3])
    protocols = _draw_protocols(rng, csf_t1=traits["csf"][1])
    signals: dict[str, dict[str, float]] = {}
    for modality in MODALITIES:
        tr, te, ti = protocols[modality]
        signals[modality] = {}
        for name, (pd, t1, t2, agent) in traits.items():
            values = [np.array(pd), np.array(t1), np.array(t2)]
            if modality == "t1ce":
                values[1] = contrast_enhanced_t1(values[1], np.array(agent), relaxivity)
            if ti is None:
                signal = spin_echo(*values, tr=tr, te=te)
            else:
                signal = inversion_recovery(*values, tr=tr, te=te, ti=ti)
            signals[modality][name] = float(signal)
    return signals


def _draw_protocols(rng: np.random.Generator, csf_t1: float) -> dict[str, tuple[float, float, float | None]]:
    """Draw TR, TE and TI of each modality in milliseconds; TI is ``None`` for a spin echo."""
    spin = [(rng.uniform(350.0, 900.0), rng.uniform(6.0, 20.0), None) for _ in range(2)]
    gradient = [(rng.uniform(1500.0, 2600.0), rng.uniform(2.0, 6.0), rng.uniform(750.0, 1100.0)) for _ in range(2)]
    choice = [gradient if rng.random() < 0.5 else spin for _ in range(2)]
    same = rng.random() < 0.5  # T1ce as T1, in kind and times
    volume = rng.random() < 0.4  # 3-D FLAIR
    tr = rng.uniform(4800.0, 8000.0) if volume else rng.uniform(7000.0, 12000.0)
    te = rng.uniform(90.0, 170.0) if volume else rng.uniform(80.0, 150.0)
    ti = nulling_inversion_time(csf_t1, tr) * rng.uniform(0.88, 1.06)
    return {
        "t1": choice[0][0],
        "t1ce": choice[0][0] if same else choice[1][1],
        "t2": (rng.uniform(2500.0, 8000.0), rng.uniform(70.0, 150.0), None),
        "flair": (tr, te, ti),
    }


FWHM_PER_SIGMA = 2.355
BIAS_MM = (160.0, 160.0, 80.0)
"""Wavelengths of the bias fields that all modalities of a case weigh in their own way."""
BIAS = (0.02, 0.25)  # standard deviation of the logarithm of the gain, log-uniform; half as much for the short wave
IN_PLANE_MM = (0.7, 2.2)
SLICE_MM = (1.0, 6.0)
THICK = 0.55  # probability of slices thicker than the in-plane width
SLICE_AXES = (0.2, 0.2, 0.6)  # probability of sagittal, coronal and axial slices
NOISE = (0.008, 0.12)  # relative to white matter, log-uniform
SMOOTH_NOISE = 0.4  # probability of noise that is correlated over neighbouring voxels
GIBBS, KEPT = 0.25, (0.55, 0.9)  # probability, and the share of an axis's spatial frequencies that is kept
GHOST, GHOST_STRENGTH = 0.15, (0.03, 0.18)
MISPLACED, SHIFT_MM, TURN_DEGREES = 0.35, 1.5, 1.5
GAMMA = (0.7, 1.35)
OFFSET = 0.35, (-0.06, 0.25)  # relative to white matter
CLIP = 0.25, (98.5, 99.9)  # percentile of the brain above which the image is saturated
BENT = 0.3  # probability of a further monotone change of intensities
CUT, CUT_MM = 0.06, (3.0, 25.0)  # probability that a modality misses the head's top or bottom, and how much of it


@dataclass(frozen=True)
class WideProtocol:
    """How one modality is acquired and spoiled.

    Args:
        fwhm_mm: width of the point spread function along x, y and z.
        slice_axis: across the slices.
        slice_mm: distance between slices.
        kept: share of the spatial frequencies that is kept along each axis, 1 for all.
        ghost: axis, number of copies and strength of ghosts; strength 0 for none.
        bias: weight of each bias field.
        noise: standard deviation relative to white matter.
        grain: standard deviation of the noise's own blur in voxels, 0 for white noise.
        shift_mm: misplacement of the modality, 0 for none.
        turn: its rotation about x, y and z in radians.
        gamma: exponent of the intensities.
        offset: what is added to them, relative to white matter.
        clip: percentile at which they saturate, 100 for none.
        bend: heights of the knots of a monotone curve, empty for none.
        cut_mm: what is missing at the top (positive) or at the bottom (negative).
        gain: what white matter reads.
    """

    fwhm_mm: tuple[float, float, float]
    slice_axis: int
    slice_mm: float
    kept: tuple[float, float, float]
    ghost: tuple[int, int, float]
    bias: tuple[float, ...]
    noise: float
    grain: float
    shift_mm: tuple[float, float, float]
    turn: tuple[float, float, float]
    gamma: float
    offset: float
    clip: float
    bend: tuple[float, ...]
    cut_mm: float
    gain: float

    def acquire(
        self, image: Array, bias_fields: list[Array], voxel_mm: tuple[float, float, float], rng: np.random.Generator
    ) -> Array:
        """Return the image as the scanner delivers it, white matter still near 1 and before :meth:`render`.

        Args:
            image: signal relative to white matter, ``(I, J, K)``.
            bias_fields: smooth fields of the same shape.
            voxel_mm: size of a voxel.
            rng: source of the noise.
        """
        image = self._place(image, voxel_mm)
        for axis, (width, size) in enumerate(zip(self.fwhm_mm, voxel_mm, strict=True)):
            sigma = width / FWHM_PER_SIGMA / size
            if sigma > 0.25:
                image = ndimage.gaussian_filter1d(image, sigma, axis=axis, truncate=3.0, mode="nearest")
        image = _resliced(image, self.slice_axis, self.slice_mm / voxel_mm[self.slice_axis])
        for axis, kept in enumerate(self.kept):
            if kept < 1.0:
                image = _truncated(image, axis, kept)
        axis, copies, strength = self.ghost
        if strength > 0.0:
            image = _ghosted(image, axis, copies, strength)
        image = image * np.exp(sum(weight * field for weight, field in zip(self.bias, bias_fields, strict=True)))
        noise = rng.standard_normal((2, *image.shape), dtype=np.float32)
        if self.grain > 0.0:
            noise = ndimage.gaussian_filter(noise, (0.0, *[self.grain] * 3), truncate=2.5)
            noise /= noise.std()
        return np.hypot(image + self.noise * noise[0], self.noise * noise[1])

    def render(self, values: Array) -> NDArray[np.int16]:
        """Return the brain's intensities as whole numbers from 1: curve, saturation, offset, gain.

        Args:
            values: signal of the voxels of brain, ``(N,)``.
        """
        ceiling = max(float(np.percentile(values, 99.9)), 1e-3)
        values = np.minimum(values, np.percentile(values, self.clip)) if self.clip < 100.0 else values
        values = ceiling * np.clip(values / ceiling, 0.0, None) ** self.gamma
        if self.bend:
            heights = np.concatenate([[0.0], np.cumsum(self.bend)])
            knots = np.linspace(0.0, ceiling, len(heights))
            values = np.where(values > ceiling, values, np.interp(values, knots, ceiling * heights / heights[-1]))
        white = self.gain * (values + self.offset)
        return np.clip(np.rint(white), 1, 32767).astype(np.int16)

    def _place(self, image: Array, voxel_mm: tuple[float, float, float]) -> Array:
        """Return the image shifted and turned."""
        if not any(self.shift_mm) and not any(self.turn):
            return image
        size = np.array(voxel_mm)
        a, b, c = self.turn
        rotation = np.array([[1.0, -c, b], [c, 1.0, -a], [-b, a, 1.0]])  # small angles
        matrix = rotation * size[None, :] / size[:, None]
        centre = (np.array(image.shape) - 1.0) / 2.0
        offset = centre - matrix @ centre + np.array(self.shift_mm) / size
        return np.asarray(ndimage.affine_transform(image, matrix, offset, order=1, mode="nearest"))


def draw_protocol(rng: np.random.Generator, misplaceable: bool, cuttable: bool) -> WideProtocol:
    """Draw how a modality is acquired.

    Args:
        rng: source of the draw.
        misplaceable: whether the modality may be out of place; the one that the label follows is not.
        cuttable: whether its field of view may be too small.
    """
    in_plane = _log_uniform(rng, IN_PLANE_MM)
    axis = int(rng.choice(3, p=SLICE_AXES))
    slice_mm = max(in_plane, _log_uniform(rng, SLICE_MM)) if rng.random() < THICK else in_plane
    fwhm = [in_plane] * 3
    fwhm[axis] = slice_mm
    ringing = rng.random(3) < (GIBBS if rng.random() < 0.5 else 0.0)
    kept = np.where(ringing, rng.uniform(*KEPT, size=3), 1.0)
    ghost = (int(rng.integers(0, 3)), int(rng.integers(2, 6)), _chance(rng, GHOST, GHOST_STRENGTH))
    weight = _log_uniform(rng, BIAS)
    misplaced = misplaceable and rng.random() < MISPLACED
    shift = rng.uniform(-SHIFT_MM, SHIFT_MM, size=3) / np.sqrt(3.0) * misplaced
    turn = np.deg2rad(rng.uniform(-TURN_DEGREES, TURN_DEGREES, size=3)) / np.sqrt(3.0) * misplaced
    return WideProtocol(
        fwhm_mm=(float(fwhm[0]), float(fwhm[1]), float(fwhm[2])),
        slice_axis=axis,
        slice_mm=float(slice_mm) if rng.random() < 0.5 else 0.0,
        kept=(float(kept[0]), float(kept[1]), float(kept[2])),
        ghost=ghost,
        bias=tuple((weight * rng.normal(0.0, (1.0, 1.0, 0.5))).tolist()),
        noise=_log_uniform(rng, NOISE),
        grain=_chance(rng, SMOOTH_NOISE, (0.35, 0.9)),
        shift_mm=tuple(shift.tolist()),
        turn=tuple(turn.tolist()),
        gamma=_log_uniform(rng, GAMMA),
        offset=_chance(rng, *OFFSET),
        clip=_chance(rng, *CLIP) or 100.0,
        bend=tuple(rng.uniform(0.5, 1.5, size=5).tolist()) if rng.random() < BENT else (),
        cut_mm=_chance(rng, CUT if cuttable else 0.0, CUT_MM) * float(rng.choice([-1.0, 1.0])),
        gain=_log_uniform(rng, (60.0, 1500.0)),
    )


def _log_uniform(rng: np.random.Generator, bounds: tuple[float, float]) -> float:
    """Draw a number whose logarithm is uniform."""
    return float(np.exp(rng.uniform(*np.log(bounds))))


def _chance(rng: np.random.Generator, probability: float, bounds: tuple[float, float]) -> float:
    """Draw a uniform number with a probability, else 0."""
    value, happens = rng.uniform(*bounds), rng.random() < probability
    return float(value) if happens else 0.0


def _resliced(image: Array, axis: int, step: float) -> Array:
    """Return the image with one slice every ``step`` voxels, and interpolated between them."""
    side = image.shape[axis]
    if step <= 1.2:
        return image
    at = np.arange(0.5 * (side % step), side, step)
    position = np.clip(np.interp(np.arange(side), at, np.arange(len(at))), 0, len(at) - 1)
    left = np.minimum(position.astype(np.int64), max(len(at) - 2, 0))
    nodes = [np.take(image, np.clip(np.rint(at).astype(np.int64), 0, side - 1), axis=axis)]
    weight = (position - left).reshape([-1 if other == axis else 1 for other in range(3)])
    right = np.minimum(left + 1, len(at) - 1)
    return (1.0 - weight) * np.take(nodes[0], left, axis=axis) + weight * np.take(nodes[0], right, axis=axis)


def _truncated(image: Array, axis: int, kept: float) -> Array:
    """Return the image without its high spatial frequencies along an axis: edges ring (Gibbs)."""
    spectrum = np.fft.rfft(image, axis=axis)
    last = max(int(kept * spectrum.shape[axis]), 4)
    index: list[slice] = [slice(None)] * 3
    index[axis] = slice(last, None)
    spectrum[tuple(index)] = 0.0
    return np.asarray(np.fft.irfft(spectrum, n=image.shape[axis], axis=axis))


def _ghosted(image: Array, axis: int, copies: int, strength: float) -> Array:
    """Return the image as it is when every ``copies``-th line of k-space is weaker: shifted copies of it appear."""
    spectrum = np.fft.fft(image, axis=axis)
    lines = np.ones(image.shape[axis])
    lines[::copies] -= strength * copies
    lines[0] = 1.0
    lines = lines.reshape([-1 if other == axis else 1 for other in range(3)])
    return np.abs(np.fft.ifft(spectrum * lines, axis=axis))
