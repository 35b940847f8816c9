"""What the JSON sidecar beside a NIfTI file says of its modality, against what the file's name says.

dcm2niix and BIDS write how an image was acquired into ``x.json`` beside ``x.nii.gz``, times in seconds. The rules that
read a modality from it are those for DICOM headers, :mod:`pkdr_monai.data.acquisition`.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from pkdr_monai.data.acquisition import Facts, Judgement, agent_named, judge_series
from pkdr_monai.data.names import FileName, stem_of

__all__ = ["Heard", "heed_sidecar", "sidecar_against", "sidecar_facts"]

LONGEST_S = {"EchoTime": 1.0, "RepetitionTime": 60.0, "InversionTime": 10.0}
"""Longer times than any protocol's are milliseconds that somebody wrote in place of seconds, or no times at all."""
SEPARATORS = re.compile(r"[\\\\/_,\s]+")


@dataclass(frozen=True)
class Heard:
    """What a file is, after its name and its sidecar.

    Args:
        name: what the name says, with the content that the sidecar decides.
        note: what a person should know: both values and the reason; ``""`` where nothing differs.
    """

    name: FileName
    note: str = ""


def heed_sidecar(path: Path, name: FileName) -> Heard:
    """Let the sidecar beside an image decide against a misleading name, or name what the name does not.

    A T1 whose sidecar says nothing of a contrast agent is no contradiction to ``t1ce``. Where a name says that an image
    is no T1, and the sidecar that it is one but not which, neither is believed: the file is unclear.

    Args:
        path: the NIfTI file.
        name: what its name says. Of a label, or of what the name says to be something else, no sidecar is read.

    Returns:
        The content to use; none where the sidecar says that the image is none of the four modalities.
    """
    if name.content == "label" or name.other:
        return Heard(name)
    judged, invalid = _judge(path)
    if invalid:
        return Heard(name if name.content else replace(name, reason=f"{name.reason}, and {invalid}"), invalid)
    if judged is None:
        return Heard(name)
    said = f"its sidecar {_sidecar(path).name} says"
    reasons = "; ".join(judged.reasons)
    if judged.excluded:
        if name.content is None:
            return Heard(replace(name, readings=(), reason=f"{said} that it is none of the four: {reasons}"))
        why = f"its name says {name.content}, but {said} that it is none of the four: {reasons}"
        return Heard(FileName(name.case, reason=why), why)
    possible = _possible(judged)
    if name.content is None:
        if len(possible) != 1 or not judged.certain:
            return Heard(name)
        (found,) = possible
        note = f"{name.reason}; {said} {found} ({reasons})" if name.readings else ""
        return Heard(FileName(name.case, found, name.words), note)
    if not possible or name.content in possible:
        return Heard(name)
    against = f"its name says {name.content}, but {said} {' or '.join(possible)} ({reasons})"
    if not judged.certain:
        return Heard(name, f"{against}, which is uncertain: {name.content} is taken")
    if len(possible) > 1:
        readings = (("its name", name.content), *(("its sidecar", modality) for modality in possible))
        return Heard(FileName(name.case, readings=readings, reason=against), against)
    return Heard(replace(name, content=possible[0]), f"{against}: {possible[0]} is taken")


def sidecar_against(path: Path, modality: str) -> str:
    """Say in which way a sidecar contradicts a person who says what an image is; ``""`` where it does not."""
    judged, invalid = _judge(path)
    if judged is None:
        return invalid
    possible, reasons = _possible(judged), "; ".join(judged.reasons)
    if not judged.excluded and (not possible or modality in possible):
        return ""
    what = "that it is none of the four" if judged.excluded else " or ".join(possible)
    return f"it is given as {modality}, which counts, but its sidecar {_sidecar(path).name} says {what} ({reasons})"


def sidecar_facts(content: Mapping[str, Any]) -> Facts:
    """Translate a sidecar into what the rules read; seconds become milliseconds.

    Args:
        content: the JSON object.

    Raises:
        ValueError: when a time is no number of seconds.

    Example:
        >>> facts = sidecar_facts({"EchoTime": 0.12, "InversionTime": 2.5, "ScanningSequence": "SE_IR"})
        >>> facts.te, facts.ti, facts.scanning
        ((120.0,), 2500.0, ('SE', 'IR'))
    """
    echoes = _times(content, "EchoTime")
    agents = [agent_named(_text(content, word)) for word in ("ContrastBolusAgent", "ContrastBolusIngredient")]
    return Facts(
        modality=_text(content, "Modality") or "MR",
        description=_text(content, "SeriesDescription"),
        sequence=" ".join(_text(content, word) for word in ("SequenceName", "PulseSequenceName")).strip(),
        scanning=_words(content, "ScanningSequence"),
        variant=_words(content, "SequenceVariant"),
        te=echoes,
        tr=next(iter(_times(content, "RepetitionTime")), None),
        ti=next(iter(_times(content, "InversionTime")), None),
        image_type=tuple(str(word).upper() for word in _list(content.get("ImageType"))),
        agent=next((agent for agent in agents if agent), "" if "" in agents else None),
    )


def _sidecar(path: Path) -> Path:
    return path.with_name(stem_of(path.name) + ".json")


def _judge(path: Path) -> tuple[Judgement | None, str]:
    """Return what the sidecar says, ``None`` without one; and why it cannot be read, or ``""``."""
    sidecar = _sidecar(path)
    if not sidecar.is_file():
        return None, ""
    try:
        facts = sidecar_facts(_read(sidecar))
    except ValueError as error:
        return None, f"its sidecar {sidecar.name} is not read: {error}"
    except OSError as error:
        return None, f"its sidecar {sidecar.name} cannot be read: {error.strerror or error}"
    return judge_series(facts), ""


def _possible(judged: Judgement) -> tuple[str, ...]:
    """Return what an image may be; a T1 of which nothing says whether an agent was given may be either."""
    if judged.modality == "t1" and judged.agent_unknown:
        return ("t1", "t1ce")
    return () if judged.modality is None else (judged.modality,)


def _read(path: Path) -> Mapping[str, Any]:
    try:
        content = json.loads(path.read_text(encoding="utf-8-sig"))
    except (json.JSONDecodeError, UnicodeDecodeError, RecursionError) as error:
        raise ValueError(f"it is no valid JSON ({str(error).splitlines()[0]})") from None
    if not isinstance(content, dict):
        raise ValueError("it is no JSON object")
    return content


def _list(value: Any) -> list[Any]:
    return [] if value is None or value == "" else list(value) if isinstance(value, list) else [value]


def _text(content: Mapping[str, Any], word: str) -> str:
    return " ".join(str(part) for part in _list(content.get(word)))


def _words(content: Mapping[str, Any], word: str) -> tuple[str, ...]:
    """Split ``GR_IR``, ``GR\\\\IR`` or a list into codes."""
    return tuple(part.upper() for text in _list(content.get(word)) for part in SEPARATORS.split(str(text)) if part)


def _times(content: Mapping[str, Any], word: str) -> tuple[float, ...]:
    """Return times in ms, each once."""
    found = set()
    for value in _list(content.get(word)):
        if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= LONGEST_S[word]:
            raise ValueError(f"its {word} is {value!r}, which is no number of seconds up to {LONGEST_S[word]:g}")
        found.add(round(1000 * value, 3))
    return tuple(sorted(found))
