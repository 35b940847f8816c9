"""How bright each tissue is in each modality in the wide setting: physics over a wide range, mixed with free contrast.

Networks that are trained on synthetic images carry over to real ones when the images' contrast varies far more than
reality (SynthSeg, Billot et al., Medical Image Analysis 2023, 86:102789). What must hold for a glioma is kept: oedema
is brighter than the healthy brain in FLAIR and T2, and fluid is dark in T1.
"""

from __future__ import annotations

import numpy as np

from pkdr_monai.modalities import MODALITIES
from pkdr_monai.phantom.signal import (
    TISSUES,
    contrast_enhanced_t1,
    inversion_recovery,
    nulling_inversion_time,
    spin_echo,
)

__all__ = ["WIDE_TISSUES", "draw_contrast"]

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
