"""The four MRI modalities of a BraTS case: one order, and the names that files give them."""

from __future__ import annotations

import itertools
from collections.abc import Iterable

from pkdr_monai.errors import InputError

__all__ = [
    "ALIASES",
    "MODALITIES",
    "SPELLING",
    "channel_indices",
    "expand_modalities",
    "modality_name",
    "parse_modalities",
]

MODALITIES: tuple[str, ...] = ("t1", "t1ce", "t2", "flair")
"""Channel order of every image with all modalities in this project."""

SPELLING: dict[str, str] = {"t1": "T1", "t1ce": "T1ce", "t2": "T2", "flair": "FLAIR"}
"""How the modalities are written for people."""

ALIASES: dict[str, str] = {
    "t1": "t1",
    "t1n": "t1",
    "t1w": "t1",
    "t1ce": "t1ce",
    "t1c": "t1ce",
    "t1gd": "t1ce",
    "t1contrast": "t1ce",
    "t2": "t2",
    "t2w": "t2",
    "flair": "flair",
    "t2f": "flair",
    "t2flair": "flair",
}
"""Names that BraTS (2012 to 2024), the Decathlon and hospitals give the modalities, in lower case."""


def parse_modalities(text: str | Iterable[str]) -> tuple[str, ...]:
    """Read a choice of modalities, ``"t2"``, ``"t1,flair"``, ``"all"`` or a list of names, in the project's own order.

    Raises:
        InputError: when a name is unknown or repeated, or none is given.

    Example:
        >>> parse_modalities("flair+t1")
        ('t1', 'flair')
    """
    names = text.replace("+", ",").split(",") if isinstance(text, str) else list(text)
    if names == ["all"]:
        return MODALITIES
    chosen = []
    for name in names:
        modality = ALIASES.get(str(name).strip().lower())
        if modality is None:
            raise InputError(f"unknown modality {str(name).strip()!r}: choose among {', '.join(MODALITIES)}, or 'all'.")
        if modality in chosen:
            raise InputError(f"modality {modality!r} is named twice in {text!r}: name each once.")
        chosen.append(modality)
    if not chosen:
        raise InputError(f"no modality given: choose among {', '.join(MODALITIES)}, or 'all'.")
    return tuple(modality for modality in MODALITIES if modality in chosen)


def modality_name(text: str | Iterable[str]) -> str:
    """Return the one name that a choice of modalities has in names of files: joined by ``+``, or ``all``.

    Example:
        >>> modality_name("flair,t1"), modality_name("flair,t2,t1ce,t1"), modality_name("T2w")
        ('t1+flair', 'all', 't2')
    """
    chosen = parse_modalities(text)
    return "all" if chosen == MODALITIES else "+".join(chosen)


def expand_modalities(choices: Iterable[str]) -> list[str]:
    """Return the names of several choices, where ``subsets`` stands for all 15.

    Example:
        >>> expand_modalities(["flair+t1", "t2"]), len(expand_modalities(["subsets"]))
        (['t1+flair', 't2'], 15)
    """
    subsets = [
        modality_name(subset)
        for size in range(1, len(MODALITIES) + 1)
        for subset in itertools.combinations(MODALITIES, size)
    ]
    named = (subsets if choice == "subsets" else [modality_name(choice)] for choice in choices)
    return list(dict.fromkeys(itertools.chain.from_iterable(named)))


def channel_indices(modalities: Iterable[str], available: Iterable[str] = MODALITIES) -> tuple[int, ...]:
    """Return where ``modalities`` stand among the channels of an image that holds ``available``.

    Raises:
        InputError: when a modality is not available.

    Example:
        >>> channel_indices(["t2"]), channel_indices(["t1", "flair"])
        ((2,), (0, 3))
    """
    available = tuple(available)
    missing = [modality for modality in modalities if modality not in available]
    if missing:
        raise InputError(f"modality {missing[0]!r} is not among the image's channels {', '.join(available)}.")
    return tuple(available.index(modality) for modality in modalities)
