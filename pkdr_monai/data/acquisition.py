"""Which modality an image is, by how it was acquired, with the reasons; what is uncertain is said to be so.

The rules serve the headers of DICOM series and the JSON sidecars of NIfTI files alike. Times are in ms.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace

from pkdr_monai.data.names import modality_of

__all__ = ["Facts", "Judgement", "agent_named", "judge_series", "judge_study"]

FEWEST_SLICES = 5  # as pkdr predict takes them
MAPS = {
    *("ADC", "TRACEW", "TRACE", "FA", "EXP", "TENSOR", "CBV", "CBF", "RCBV", "RCBF", "MTT", "TTP", "TMAX"),
    *("MIP", "MINIP", "MNIP", "PROJECTION IMAGE", "SUB", "SUBTRACTION", "T1 MAP", "T2 MAP", "PERFUSION"),
}
PHASES = {"P", "PHASE", "PHASE MAP", "R", "I", "REAL", "IMAGINARY", "MIXED"}
SUSCEPTIBILITY = {"SWI", "SWAN", "QSM"}
LOCALISERS = re.compile(r"\b(loc|localizer|localiser|scout|survey|3[- ]?pl(ane)?)\b", re.IGNORECASE)
OTHERS = {
    "diffusion": re.compile(r"\b(dwi|dti|adc|diff(usion)?|trace|ep_b\w*|ep2d)\b|ep2d", re.IGNORECASE),
    "perfusion": re.compile(r"\b(perf(usion)?|dsc|dce|asl|r?cb[fv])\b", re.IGNORECASE),
    "susceptibility": re.compile(r"\b(swi|swan|susc\w*|hemo|t2star)\b|t2\s?\*", re.IGNORECASE),
    "angiography": re.compile(r"\b(tof|mra|angio\w*|pca)\b", re.IGNORECASE),
    "a subtraction": re.compile(r"\bsubtract\w*", re.IGNORECASE),
}
NO_AGENT = ("no", "none", "without", "n", "0", "ohne", "sans")
STATED = {"FLUID_ATTENUATED": "flair", "T1": "t1", "T2": "t2"}


@dataclass(frozen=True)
class Facts:
    """What the headers of a series say of how it was acquired.

    Args:
        modality: ``"MR"`` and so on.
        sop_class: kind of object, its name without "Storage".
        description: series description, without anything that names a person.
        sequence: names of the pulse sequence and of the protocol, as written.
        scanning: such as ``("SE", "IR")``.
        variant: such as ``("SK", "SP", "MP")``.
        te: echo times in ms, each once.
        tr: repetition time in ms.
        ti: inversion time in ms.
        image_type: such as ``("ORIGINAL", "PRIMARY", "M")``.
        contrast: the contrast that an enhanced object states, such as ``"FLUID_ATTENUATED"``.
        agent: contrast agent: its name, ``""`` where the header says none was given, ``None`` where it says nothing.
        diffusion: whether any image has a b-value above 0.
        slices: number of images.
        directions: number of orientations of the slices.
        gaps: whether the distances between slices differ.
    """

    modality: str = "MR"
    sop_class: str = "MR Image"
    description: str = ""
    sequence: str = ""
    scanning: tuple[str, ...] = ()
    variant: tuple[str, ...] = ()
    te: tuple[float, ...] = ()
    tr: float | None = None
    ti: float | None = None
    image_type: tuple[str, ...] = ()
    contrast: str = ""
    agent: str | None = None
    diffusion: bool = False
    slices: int = 20
    directions: int = 1
    gaps: bool = False


@dataclass(frozen=True)
class Judgement:
    """What a series is taken for.

    Args:
        modality: t1, t1ce, t2, flair, or ``None``.
        certain: whether it may be used without a person's word.
        reasons: what says so, or why it is uncertain or left out.
        excluded: whether it is none of the four, whoever says so.
        agent_unknown: whether nothing says if a contrast agent was given before this T1.
    """

    modality: str | None
    certain: bool
    reasons: tuple[str, ...]
    excluded: bool = False
    agent_unknown: bool = False


def judge_study(study: Sequence[Facts]) -> list[Judgement]:
    """Judge the series of one study.

    A T1 without a contrast agent in its header is certain only if something says that it comes before the agent: its
    description, or another series of the study that names an agent. Agents are too often left out of headers.
    """
    recorded = any(facts.agent for facts in study)
    return [_settle_plain(facts, judge_series(facts), recorded) for facts in study]


def agent_named(text: str | None) -> str | None:
    """Return the contrast agent that a header names: ``""`` for words such as "none", ``None`` where it says nothing.

    Example:
        >>> agent_named("Gadovist"), agent_named("NONE"), agent_named(" ")
        ('Gadovist', '', None)
    """
    found = (text or "").strip()
    return ("" if found.lower() in NO_AGENT else found) if found else None


def _settle_plain(facts: Facts, judgement: Judgement, recorded: bool) -> Judgement:
    if not judgement.certain or not judgement.agent_unknown:
        return judgement
    if recorded and modality_of(facts.description) == "t1":
        return replace(judgement, reasons=(*judgement.reasons, "no contrast agent, which another series does name"))
    reason = "no header says whether a contrast agent was given: t1 or t1ce"
    return replace(judgement, certain=False, reasons=(*judgement.reasons, reason))


def _says_plain(text: str) -> bool:
    return modality_of(text) == "t1" and bool(re.search(r"pre|plain|nativ|no[ _-]?con|w/?o\b|unenhanced", text, re.I))


def judge_series(facts: Facts) -> Judgement:
    """Judge one series by its own headers, but for whether a T1 without an agent came before it: see `judge_study`.

    The pulse sequence and its times decide, and the description must not contradict them. The limits are those of
    clinical protocols at 1.5 and 3 T: FLAIR inverts at 1600 ms and more and reads a late echo, a T2 has a late echo and
    a long TR, a T1 an early echo, and a short TR, an inversion at 400 to 1400 ms, or a spoiled gradient echo.

    Example:
        >>> judged = judge_series(Facts(description="AX FLAIR", scanning=("SE", "IR"), te=(120,), tr=9000, ti=2500))
        >>> judged.modality, judged.certain, judged.reasons
        ('flair', True, ('TI 2500 ms with TE 120 ms', "description 'AX FLAIR'"))
        >>> judge_series(Facts(description="AX T2")).certain
        False
    """
    reason = _exclusion(facts)
    if reason is not None:
        return Judgement(None, False, (reason,), excluded=True)
    physics, reasons = _physics(facts)
    if physics == "pd":
        return Judgement(None, False, (*reasons, "weighted by proton density"), excluded=True)
    described = modality_of(facts.description)
    if facts.gaps:
        return Judgement(physics or described, False, (*reasons, "distances between its slices differ"), excluded=True)
    if described is not None:
        reasons = (*reasons, f"description {facts.description!r}")
    if physics is None:
        unknown = "neither times nor description say what it is"
        what = "but the pulse sequence's times do not confirm it" if described else unknown
        return Judgement(described, False, (*reasons, what))
    if described is not None and described.removesuffix("ce") != physics:
        return Judgement(physics, False, (*reasons, f"which says {described}: they contradict each other"))
    modality, certain = physics, True
    if physics == "t1":
        modality, certain, reasons = _enhanced(facts, described, reasons)
    if facts.image_type and facts.image_type[0] != "ORIGINAL":
        certain, reasons = False, (*reasons, f"but its image type is {'/'.join(facts.image_type)}, not the original")
    open_agent = modality == "t1" and facts.agent is None and not _says_plain(facts.description)
    return Judgement(modality, certain, reasons, agent_unknown=open_agent)


def _enhanced(facts: Facts, described: str | None, reasons: tuple[str, ...]) -> tuple[str, bool, tuple[str, ...]]:
    if facts.agent:
        if _says_plain(facts.description):
            return "t1", False, (*reasons, f"but the header names a contrast agent, {facts.agent!r}")
        return "t1ce", True, (*reasons, f"contrast agent {facts.agent!r}")
    if described == "t1ce":
        if facts.agent == "":
            return "t1ce", False, (*reasons, "but the header says that no contrast agent was given")
        return "t1ce", True, reasons
    return "t1", True, (*reasons, "the header says that no contrast agent was given") if facts.agent == "" else reasons


def _exclusion(facts: Facts) -> str | None:
    """Say why a series is none of the four, or ``None``."""
    if facts.modality != "MR":
        return f"its modality is {facts.modality or 'unknown'}, not MR"
    if not re.search(r"\bMR (Color )?Image", facts.sop_class):
        return f"it is no MR image ({facts.sop_class or 'unknown kind'})"
    kinds, text = set(facts.image_type), f"{facts.description} {facts.sequence}"
    if "LOCALIZER" in kinds or LOCALISERS.search(text.replace("_", " ")):
        return "it is a localiser"
    if facts.directions > 1:
        return f"its images lie in {facts.directions} orientations, as a localiser's do"
    if facts.directions == 0:
        return "its images do not say where they lie"
    if kinds & MAPS:
        return f"it is a derived map ({', '.join(sorted(kinds & MAPS))})"
    if kinds & PHASES:
        return f"it is not a magnitude image ({', '.join(sorted(kinds & PHASES))})"
    if kinds & SUSCEPTIBILITY:
        return "it is susceptibility-weighted"
    if facts.diffusion or "DIFFUSION" in kinds:
        return "it is diffusion-weighted"
    if "EP" in facts.scanning:
        return "it is echo-planar, as diffusion, perfusion and functional images are"
    for what, words in OTHERS.items():
        if words.search(text.replace("_", " ")):
            return f"its description or sequence says {what}"
    if len(facts.te) > 1:
        return f"it holds {len(facts.te)} echo times"
    if facts.slices < FEWEST_SLICES:
        return f"it has {facts.slices} slices, fewer than {FEWEST_SLICES}"
    return None


def _physics(facts: Facts) -> tuple[str | None, tuple[str, ...]]:
    """Return what sequence and times say: t1 (of any enhancement), t2, flair, pd or ``None``, and the reason."""
    te, tr, ti = facts.te[0] if facts.te else None, facts.tr, facts.ti
    by_times, reason = _by_times(facts, te, tr, ti)
    stated = STATED.get(facts.contrast)
    if stated is None:
        return by_times, (reason,) if reason else ()
    if by_times is not None and by_times != stated:
        return None, (reason, f"acquisition contrast {facts.contrast}, which contradicts it")
    return stated, tuple(filter(None, (reason, f"acquisition contrast {facts.contrast}")))


def _by_times(facts: Facts, te: float | None, tr: float | None, ti: float | None) -> tuple[str | None, str]:
    if te is None:
        return None, ""
    gradient = "GR" in facts.scanning and "SE" not in facts.scanning
    if ti is not None and ti >= 1600 and te >= 60 and not gradient:
        return "flair", f"TI {ti:g} ms with TE {te:g} ms"
    if ti is not None and 400 <= ti <= 1400 and te <= 30:
        return "t1", f"TI {ti:g} ms with TE {te:g} ms"
    if ti:
        return None, f"TI {ti:g} ms with TE {te:g} ms is usual of none"
    if "IR" in facts.scanning:
        return None, "it inverts, but states no TI"
    if gradient:
        if te <= 12 and {"SP", "MP"} & set(facts.variant) and "SS" not in facts.variant:
            return "t1", f"spoiled or prepared gradient echo with TE {te:g} ms"
        return None, f"gradient echo with TE {te:g} ms"
    if tr is None or not {"SE", "RM"} & set(facts.scanning):
        return None, ""
    if te >= 70 and tr >= 2000:
        return "t2", f"spin echo with TE {te:g} ms, TR {tr:g} ms, no inversion"
    if te <= 30 and tr <= 1000:
        return "t1", f"spin echo with TE {te:g} ms, TR {tr:g} ms"
    if te <= 50 and tr >= 1800:
        return "pd", f"spin echo with TE {te:g} ms, TR {tr:g} ms"
    return None, f"spin echo with TE {te:g} ms, TR {tr:g} ms is usual of none"
