"""The words that file names are made of: modalities, contrast, planes, processing, labels."""

from __future__ import annotations

import re
from functools import cache

__all__ = ["HEADS", "SHORT", "kind_of", "split_word"]

HEADS: dict[str, str] = {"t1": "t1", "t2": "t2", "flair": "flair", "darkfluid": "flair"}
"""Words that name a modality by themselves."""

KINDS: dict[str, str] = {
    "gradient_echo": "mprage bravo spgr fspgr tfe vibe flash mp2rage",
    "contrast": (
        "ce gd gad gado gadolinium gadovist contrast contraste contrasted postcontrast post postc postgd postgad km "
        "enhanced enh cont inj injected mdc civ c+ +c + +gd gd+ +post +ce +contrast +km"
    ),
    "plain": "pre precontrast precon pregd native nativ plain unenhanced noncontrast nocontrast no non without wo -c",
    "weighting": "wi weighted weight",
    "qualifier": (
        "3d 2d ax axial sag sagittal cor coronal tra trans transverse tse fse se iso isotropic vista cube irfse fs "
        "fatsat propeller blade hr highres tirm 1mm sequence image img scan"
    ),
    "processing": (
        "reg registered coreg coregistered bet hd hdbet brain stripped strip stripping skull skullstripped "
        "skullstrip skullstripping ss be extracted extraction masked synthstrip n4 n4itk n4bc biascorrected bfc "
        "corrected to in on onto into space warped aligned align resampled resample resliced like norm normalized "
        "normalised zscore denoised mni mni152 sri sri24 atlas orig origspace cropped crop deface defaced preproc "
        "preprocessed processed reoriented ras lps lpi rai final pp"
    ),
    "relation": "to in on onto into reg registered coreg coregistered space warped aligned like 2",
    "other": (
        "adc dwi dti swi swan pwi dsc dce asl cbv cbf mtt fa md map star gre hemo rho ratio diff difference "
        "subtraction sub warp field affine xfm angio mra bold pet spect ct pd probabilities probability uncertainty"
    ),
    "label": (
        "seg segs segm segmentation segmentations dseg label labels labelmap lesion tumorseg tumourseg "
        "tumorsegmentation tumormask tumourmask lesionmask groundtruth gt gtv annotation annotations glistrboost"
    ),
    "mask": "mask masks",
    "label_detail": (
        "tumor tumour glioma manual manually corrected manuallycorrected expert consensus automated automatic auto "
        "approx combined final origspace"
    ),
    "anatomy": "brain parenchyma bet tissue skull head wm gm csf aseg aparc aparcaseg synthseg ventricles fov ss",
}
"""Words by what they say. A word may stand in two rows, such as ``brain``: stripped image, or mask of the brain."""

MEASURE = re.compile(r"\d+(\.\d+)?mm3?")  # a voxel size
SHORT = ("c", "n", "w", "f")  # say something only right after T1 or T2: t1c, t1n, t2w, t2f
_WORDS: dict[str, frozenset[str]] = {kind: frozenset(words.split()) for kind, words in KINDS.items()}
_WORDS |= {"head": frozenset(HEADS)}
_GLUED = sorted(
    {word for kind in ("gradient_echo", "contrast", "plain", "weighting", "head") for word in _WORDS[kind]}
    | {"3d", "2d", "ax", "sag", "cor", "tra", "tse", "fse", "iso", "reg", "to", "in", "2", "map", "star", "rho"}
    | set(SHORT),
    key=lambda word: (-len(word), word),
)


def kind_of(word: str, *kinds: str) -> bool:
    """Return whether a word, in lower case, is of one of the kinds.

    Example:
        >>> kind_of("gado", "contrast"), kind_of("brain", "processing"), kind_of("brain", "anatomy")
        (True, True, True)
    """
    if "qualifier" in kinds and MEASURE.fullmatch(word):
        return True
    return any(word in _WORDS[kind] for kind in kinds)


@cache
def split_word(word: str) -> tuple[str, ...]:
    """Split a word that names a modality into its parts; other words are returned whole.

    Args:
        word: a part of a file name between separators, in lower case.

    Example:
        >>> split_word("t1wce"), split_word("ct1"), split_word("3dflair"), split_word("t2dm"), split_word("gado")
        (('t1', 'w', 'ce'), ('c', 't1'), ('3d', 'flair'), ('t2dm',), ('gado',))
    """
    parts = _split(word, "")
    return parts if parts and any(kind_of(part, "head", "gradient_echo") for part in parts) else (word,)


def _split(word: str, before: str) -> tuple[str, ...] | None:
    if not word:
        return ()
    for part in _GLUED:
        if not word.startswith(part):
            continue
        rest = word[len(part) :]
        if part in SHORT and before not in ("t1", "t2", "w", "wi") and not (part == "c" and rest.startswith("t1")):
            continue
        if part == "2" and not rest.startswith(tuple(HEADS)):
            continue
        following = _split(rest, part)
        if following is not None:
            return (part, *following)
    return None
