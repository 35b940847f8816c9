"""The scanner: its field, its settings, and what it makes of tissue: signal, blur, bias, noise, whole numbers."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import ndimage

from pkdr_monai.modalities import MODALITIES
from pkdr_monai.phantom.lattice import Array
from pkdr_monai.phantom.signal import (
    TISSUES,
    TissueMaps,
    contrast_enhanced_t1,
    inversion_recovery,
    nulling_inversion_time,
    spin_echo,
)

__all__ = ["BIAS_FIELDS", "LARGEST_INTENSITY", "Scanner", "blurred", "draw_scanner"]

FWHM_PER_SIGMA = 2.355
LARGEST_INTENSITY = 32767
BIAS_FIELDS = 2  # of a case: each sequence weighs them in its own way


@dataclass(frozen=True)
class Scanner:
    """A scanner with its protocol of each modality.

    Args:
        strong: whether the field is 3 T rather than 1.5 T.
        relaxivity: the contrast agent's r1, in L/(mmol s).
        protocols: one for each modality.
    """

    strong: bool
    relaxivity: float
    protocols: dict[str, _Protocol]

    def acquire(
        self,
        modality: str,
        maps: TissueMaps,
        brain: np.ndarray,
        bias_fields: list[Array],
        voxel_mm: tuple[float, float, float],
        rng: np.random.Generator,
    ) -> np.ndarray:
        """Return one modality's intensities.

        Args:
            modality: one of :data:`~pkdr_monai.modalities.MODALITIES`.
            maps: the tissue of each voxel of brain, ``(N,)`` each.
            brain: where the ``N`` voxels of brain lie, bool, ``(X, Y, Z)``.
            bias_fields: ``BIAS_FIELDS`` smooth fields at the voxels of brain, ``(N,)`` each.
            voxel_mm: size of a voxel.
            rng: source of the noise.

        Returns:
            One intensity for each voxel of brain, at least 1, int16, ``(N,)``.
        """
        protocol = self.protocols[modality]
        csf = self._reference(modality, "csf") / self._reference(modality, "white")
        image = np.full(brain.shape, csf)  # (X, Y, Z), CSF continues beyond the brain that is kept
        image[brain] = self.signal(modality, maps)
        signal = blurred(image, protocol.fwhm_mm, voxel_mm)[brain]
        signal *= np.exp(sum(weight * field for weight, field in zip(protocol.bias, bias_fields, strict=True)))
        real, imaginary = protocol.noise * rng.standard_normal((2, len(signal)))
        signal = np.hypot(signal + real, imaginary) * protocol.white_intensity
        return np.clip(np.rint(signal), 1, LARGEST_INTENSITY).astype(np.int16)

    def signal(self, modality: str, maps: TissueMaps) -> Array:
        """Return the signal without blur, bias and noise, relative to white matter without contrast agent, ``(N,)``.

        Args:
            modality: one of :data:`~pkdr_monai.modalities.MODALITIES`.
            maps: the tissue of each voxel, ``(N,)`` each.

        Example:
            >>> scanner = draw_scanner(np.random.default_rng(0))
            >>> csf = TissueMaps(*(np.array([value]) for value in (1.0, 4300.0, 2000.0, 0.0, 1.0)))
            >>> bool(scanner.signal("flair", csf)[0] < 0.01 < 1.0 < scanner.signal("t2", csf)[0])
            True
        """
        protocol = self.protocols[modality]
        t1 = contrast_enhanced_t1(maps.t1, maps.agent, self.relaxivity) if protocol.agent else maps.t1
        csf = self._reference(modality, "csf")
        signal = maps.csf * csf + (1.0 - maps.csf) * protocol.signal(maps.pd, t1, maps.t2)
        return signal / self._reference(modality, "white")

    def _reference(self, modality: str, tissue: str) -> float:
        """Return the signal of a healthy tissue without contrast agent, relative to water."""
        pd, t1, t2, _ = TISSUES[tissue]
        values = (np.array(value) for value in (pd, t1[self.strong], t2[self.strong]))
        return float(self.protocols[modality].signal(*values))


def blurred(image: Array, fwhm_mm: tuple[float, float, float], voxel_mm: tuple[float, float, float]) -> Array:
    """Return an image as wide point spread functions show it, ``(X, Y, Z)``."""
    for axis, (width, size) in enumerate(zip(fwhm_mm, voxel_mm, strict=True)):
        image = ndimage.gaussian_filter1d(image, width / FWHM_PER_SIGMA / size, axis=axis, truncate=3.0)
    return image


def draw_scanner(rng: np.random.Generator) -> Scanner:
    """Draw a scanner and its settings from the clinic's usual ranges.

    Args:
        rng: source of the draw.
    """
    strong = bool(rng.random() < 0.5)
    flair_tr = rng.uniform(8000.0, 11000.0)
    t1 = (rng.uniform(400.0, 650.0), rng.uniform(8.0, 14.0), None)
    times = {
        "t1": t1,
        "t1ce": t1,
        "t2": (rng.uniform(3500.0, 6000.0), rng.uniform(85.0, 110.0), None),
        "flair": (flair_tr, rng.uniform(95.0, 140.0), nulling_inversion_time(TISSUES["csf"].t1[strong], flair_tr)),
    }
    protocols = {}
    for modality in MODALITIES:
        tr, te, ti = times[modality]
        in_plane = rng.uniform(0.8, 1.4)
        slice_mm = rng.choice([1.2, 3.0, 5.0], p=[0.5, 0.25, 0.25])
        protocols[modality] = _Protocol(
            tr=float(tr),
            te=float(te),
            ti=ti,
            agent=modality == "t1ce",
            fwhm_mm=(in_plane, in_plane, float(slice_mm)),
            white_intensity=float(rng.lognormal(np.log(300.0), 0.5)),
            noise=float(rng.uniform(0.015, 0.045)),
            bias=tuple(rng.normal(0.0, 0.06, size=BIAS_FIELDS).tolist()),
        )
    return Scanner(strong, relaxivity=float(rng.uniform(3.0, 5.0)), protocols=protocols)


@dataclass(frozen=True)
class _Protocol:
    """How one modality is acquired; times in milliseconds.

    Args:
        tr: repetition time.
        te: echo time.
        ti: inversion time, ``None`` for a spin echo.
        agent: whether contrast agent was given before.
        fwhm_mm: width of the point spread function along x, y and z.
        white_intensity: what white matter reads in the image.
        noise: standard deviation of the noise in each receiver channel, relative to white matter.
        bias: weights of the bias fields in the logarithm of the receiver's gain, ``(F,)``.
    """

    tr: float
    te: float
    ti: float | None
    agent: bool
    fwhm_mm: tuple[float, float, float]
    white_intensity: float
    noise: float
    bias: tuple[float, ...]

    def signal(self, pd: Array, t1: Array, t2: Array) -> Array:
        """Return the noiseless signal of tissue, relative to water."""
        if self.ti is None:
            return spin_echo(pd, t1, t2, tr=self.tr, te=self.te)
        return inversion_recovery(pd, t1, t2, tr=self.tr, te=self.te, ti=self.ti)
