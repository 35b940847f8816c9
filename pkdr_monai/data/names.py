"""What the name of a NIfTI file says: the case that it belongs to, and the modality or the label that it holds.

Everything that reads file names does so here. A name is never decided by its last word alone: ``FLAIR_reg_T1`` names
two modalities and is refused, ``sub-01_space-T1w_FLAIR`` is a FLAIR, and ``sub-01_ce-GAD_T1w`` is a T1 with contrast.
"""

from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass, replace
from functools import cache
from itertools import pairwise
from pathlib import PurePath

from pkdr_monai.data.words import HEADS, SHORT, kind_of, split_word

__all__ = ["NIFTI_NAME", "FileName", "modality_of", "output_key", "parse_name", "stem_of"]

NIFTI_NAME = re.compile(r"(?P<stem>.+)\.nii(\.gz)?", re.IGNORECASE)
"""Matches the names of NIfTI files in full; ``stem`` is the name without its endings."""

WORD = re.compile(r"(?:(?<=\d)\.(?=\d)|[^-_ ()\[\],.])+")  # between separators; a dot between digits belongs to a date
JOINED = {
    ("dark", "fluid"): "darkfluid",
    ("mp", "rage"): "mprage",
    ("bias", "corrected"): "n4",
    ("bias", "field", "corrected"): "n4",
    ("ground", "truth"): "gt",
}
ENTITY = re.compile(
    r"(?P<key>sub|ses|sample|task|acq|ce|trc|stain|rec|dir|run|mod|echo|flip|inv|mt|part|proc|hemi|space|split|cohort|"
    r"recording|chunk|seg|res|den|label|desc|tracksys|from|to|mode)-(?P<value>[^_]+)(?:_|$)",
    re.IGNORECASE,
)
ACCELERATION = re.compile(r"p\d", re.IGNORECASE)  # after a modality; before it, p1 is a patient
NO_CONTRAST = ("none", "no", "pre", "native", "0")
AGENTS = ("gd", "gad", "gado", "gadolinium", "gadovist", "ce", "km")
IMAGE_KINDS = ("gradient_echo", "contrast", "plain", "weighting", "qualifier", "processing", "head")
LABEL_KINDS = ("label", "mask", "label_detail", "anatomy", "processing")
PREFERRED = ("manuallycorrected", "manual", "manually", "expert", "consensus")
LESSER = ("automated", "automatic", "auto", "approx", "glistrboost")


@dataclass(frozen=True)
class FileName:
    """What a file's name says.

    Args:
        case: name of the case, ``""`` where the name describes the content alone, as ``t1.nii.gz``.
        content: a modality, ``"label"``, or ``None`` where the name does not say.
        words: the words that name the content, as written, in lower case: ``"t1n"``, ``"t1_gd"``.
        readings: where the name names two modalities: each word with its modality; ``content`` is then ``None``.
        reason: why there is no content.
        other: whether the name says that it is something else than an image of the four modalities or a label.
        rank: of several labels of one case the highest counts: 2 corrected by hand, 1 a label, 0 automatic or a mask.
    """

    case: str = ""
    content: str | None = None
    words: str = ""
    readings: tuple[tuple[str, str], ...] = ()
    reason: str = ""
    rank: int = 1
    other: bool = False


@dataclass(frozen=True)
class _Word:
    text: str
    start: int
    parts: tuple[str, ...]

    @property
    def modality(self) -> str | None:
        """The base of what the word names: t1, t2, flair; or None."""
        found = list(dict.fromkeys(HEADS[part] for part in self.parts if part in HEADS))
        if "t2" in self.parts and "f" in self.parts:
            return "flair"
        if found == ["t2", "flair"]:
            return "flair"
        if not found and any(kind_of(part, "gradient_echo") for part in self.parts):
            return "t1"
        return found[0] if len(found) == 1 else None

    @property
    def is_head(self) -> bool:
        return any(kind_of(part, "head", "gradient_echo") for part in self.parts)

    @property
    def contrast(self) -> bool:
        return any(part == "c" or kind_of(part, "contrast") for part in self.parts) and not self.plain

    @property
    def plain(self) -> bool:
        return any(part == "n" or kind_of(part, "plain") for part in self.parts)

    def is_kind(self, *kinds: str) -> bool:
        glued = len(self.parts) > 1
        return all((glued and part in (*SHORT, "2")) or kind_of(part, *kinds) for part in self.parts)


def stem_of(name: str) -> str:
    """Return a NIfTI file's name without its endings, whatever their letter case; other names as they are."""
    match = NIFTI_NAME.fullmatch(name)
    return match["stem"] if match else name


def output_key(name: str) -> str:
    """Return what the names of two files must differ in so that their results do not overwrite each other.

    Example:
        >>> output_key("T2.nii.gz") == output_key("t2.nii"), output_key("a_t2.nii") == output_key("b_t2.nii")
        (True, False)
    """
    return unicodedata.normalize("NFC", stem_of(name)).casefold()


def modality_of(text: str) -> str | None:
    """Return the modality that a word or two name, as in the ``dataset.json`` of the Decathlon and of nnU-Net.

    Example:
        >>> modality_of("T1-Gd"), modality_of("T2w"), modality_of("FLAIR"), modality_of("CT"), modality_of("T1 to T2")
        ('t1ce', 't2', 'flair', None, None)
    """
    parsed = parse_name(f"{text}.nii")
    return parsed.content if parsed.content != "label" and parsed.case.lower() in ("", "mri", "mr") else None


def parse_name(path: str | PurePath) -> FileName:
    """Read the name of a file; of folders, only one that is itself named like a file counts, as in BraTS 2021.

    Args:
        path: a path; the file is not opened.

    Example:
        >>> parse_name("sub-01_ce-GAD_T1w.nii.gz")
        FileName(case='sub-01', content='t1ce', words='t1w', readings=(), reason='', rank=1, other=False)
        >>> parse_name("ann_FLAIR_reg_T1.nii.gz").readings
        (('FLAIR', 'flair'), ('T1', 't1'))
        >>> parse_name("ann_t2_bet_mask.nii.gz").reason
        'it is a mask of t2'
    """
    path = PurePath(path)
    while NIFTI_NAME.fullmatch(path.parent.name):
        path = path.parent
    match = NIFTI_NAME.fullmatch(path.name)
    if not match:
        return FileName(reason="it is not a NIfTI file")
    return _parse_stem(match["stem"])


@cache
def _parse_stem(stem: str) -> FileName:
    if not stem.lower().startswith("sub-"):
        return _parse_words(stem)
    entities, rest = {}, stem
    while match := ENTITY.match(rest):
        entities[match["key"].lower()] = match["value"]
        rest = rest[match.end() :]
    return _parse_bids(entities, rest) if entities else _parse_words(stem)


def _parse_bids(entities: dict[str, str], rest: str) -> FileName:
    """Apply the entities of a BIDS name to what its suffix says."""
    case = "_".join(f"{key}-{entities[key]}" for key in ("sub", "ses") if key in entities)
    if not rest:
        return FileName(case, reason="its name says no modality")
    parsed = _parse_words(rest)
    parsed = replace(parsed, case=f"{case}_{parsed.case}" if parsed.case else case)
    details = [_words(entities[key]) for key in ("acq", "desc", "label", "rec") if key in entities]
    if parsed.content == "label":
        if any(kind_of(part, "anatomy") for words in details for word in words for part in (word.text.lower(),)):
            return replace(parsed, content=None, reason="it shows anatomy, not the tumour")
        named = any(kind_of(word.text.lower(), "label_detail", "label") for words in details for word in words)
        return replace(parsed, rank=1 if named else parsed.rank)
    if parsed.content is None:
        return parsed
    if entities.get("part", "mag").lower() != "mag":
        return replace(parsed, content=None, reason=f"it is not a magnitude image (part-{entities['part']})")
    agent = entities.get("ce", "none").lower() not in NO_CONTRAST
    readings = [(parsed.words, parsed.content)]
    for key in ("acq", "desc", "rec"):
        value = entities.get(key, "")
        if re.match(r"(co)?reg|to[A-Z]|in[A-Z]", value):
            continue
        plain = re.search(r"pre(?!proc)|native|non?contrast|unenhanced", value, re.IGNORECASE)
        agent |= not plain and bool(
            re.search(r"post(?!op)|contrast|gad|gd|(?<![a-z])ce(?![a-z])", value, re.IGNORECASE)
        )
        said = _detail_modality(value)
        if said is not None and said.removesuffix("ce") != parsed.content.removesuffix("ce"):
            readings.append((f"{key}-{value}", said))
        agent |= said == "t1ce"
    if len(readings) > 1 and {modality for _, modality in readings} != {"t2", "flair"}:
        return _contradiction(parsed.case, readings)
    content = "flair" if len(readings) > 1 else "t1ce" if agent and parsed.content == "t1" else parsed.content
    return replace(parsed, content=content)


def _detail_modality(value: str) -> str | None:
    """Return the modality in a value of a BIDS entity, such as ``T1post`` or ``axFLAIR``; most values name none."""
    parsed = _parse_words(re.sub(r"(?<=[a-z0-9])(?=[A-Z][a-z])", "_", value))
    return parsed.content if parsed.content != "label" and not parsed.case else None


def _words(stem: str) -> list[_Word]:
    words = [_Word(found[0], found.start(), split_word(found[0].lower())) for found in WORD.finditer(stem)]
    for parts, whole in JOINED.items():
        for place in range(len(words) - len(parts), -1, -1):
            if tuple(word.text.lower() for word in words[place : place + len(parts)]) == parts:
                words[place : place + len(parts)] = [_Word(whole, words[place].start, (whole,))]
    return words


def _parse_words(stem: str) -> FileName:
    words = _words(stem)
    tail = len(words)
    while tail and words[tail - 1].is_kind(*LABEL_KINDS):
        tail -= 1
    spoken = [word.text.lower() for word in words[tail:]]
    if any(kind_of(word, "label", "mask") for word in spoken):
        return _label(stem, words, tail, spoken)
    return _image(stem, words)


def _label(stem: str, words: list[_Word], tail: int, spoken: list[str]) -> FileName:
    """Read a name that ends in a label's words, from ``words[tail]``."""
    weak = not any(kind_of(word, "label") for word in spoken) and not {"tumor", "tumour", "glioma"} & {*spoken}
    before = _image(stem[: words[tail].start].rstrip("-_ ."), words[:tail]) if tail else FileName()
    while tail < len(words) - 1 and not kind_of(words[tail].text.lower(), "label", "mask", "label_detail", "anatomy"):
        tail += 1
    case = before.case if before.content or before.readings else _case(stem, words, tail)
    if any(kind_of(word, "anatomy") for word in spoken):
        what = before.words or "the brain" if weak else "anatomy, not the tumour"
        return FileName(case, reason=f"it is a mask of {what}" if weak else f"it shows {what}", other=True)
    if weak and (before.content or before.readings):
        return FileName(case, reason=f"it is a mask of {before.words or 'an image'}", other=True)
    rank = 2 if {*PREFERRED} & {*spoken} else 0 if weak or {*LESSER} & {*spoken} else 1
    return FileName(case, "label", "_".join(spoken), rank=rank)


def _image(stem: str, words: list[_Word]) -> FileName:
    """Read a name that should name a modality, somewhere in the words before its end."""
    heads = [place for place, word in enumerate(words) if word.is_head]
    if not heads:
        return _without_head(stem, words)
    first, last = heads[0], heads[-1]
    for place, word in enumerate(words[last + 1 :], last + 1):
        single = place == last + 1 and word.text.lower() in SHORT  # T1_c, T2_f
        single |= ACCELERATION.fullmatch(word.text) is not None
        if not single and (word.is_kind("other") or not word.is_kind(*IMAGE_KINDS)):
            reason = f"{word.text!r} after {words[last].text!r} is not known"
            return FileName(reason=reason, other=word.is_kind("other"))
    for word in words[first : last + 1]:
        if word.is_head and any(kind_of(part, "other") for part in word.parts):
            return FileName(reason=f"{word.text!r} is not one of the four modalities", other=True)
    start = first
    while start and (_leads(words[start - 1]) or _says_when(words[start - 1], words[start])):
        start -= 1
    before = words[start - 1].text.lower() if start else ""
    if len(before) > 2 and kind_of(before, "other", "label", "mask"):
        reason = f"{words[start - 1].text!r} before {words[first].text!r} says that it is something else"
        return FileName(reason=reason, other=True)
    if first > start and words[first - 1].text.lower() in ("to", "in", "on", "onto", "into", "space", "like"):
        return FileName(reason=f"it lies in the space of {words[first].text}, and does not say what it shows")
    return _decide(_case(stem, words, start), words, start, first, last)


def _without_head(stem: str, words: list[_Word]) -> FileName:
    """Take ``postcontrast`` for a T1 with contrast agent; all else without a modality says nothing."""
    start = len(words)
    while start and words[start - 1].is_kind("contrast", "processing", "qualifier"):
        start -= 1
    said = "".join(word.text.lower() for word in words[start:])
    if "postcontrast" in said or "contrastenhanced" in said:
        return FileName(_case(stem, words, start), "t1ce", said)
    return FileName(reason="its name says no modality")


def _leads(word: _Word) -> bool:
    """Return whether a word before the modality describes the image; ``pre`` and ``post`` may be before a surgery."""
    text = word.text.lower()
    if text in ("pre", "post") or (
        len(text) < 3 and text not in ("ax", "3d", "2d", "ce", "gd", "to", "in", "on", "km")
    ):
        return False
    return word.is_kind("contrast", "plain", "weighting", "qualifier", "processing")


def _says_when(word: _Word, following: _Word) -> bool:
    """Return whether two words together describe the contrast agent: ``pre_contrast``, ``post_Gd``, ``no_contrast``."""
    return word.text.lower() in ("pre", "post", "no", "non", "wo") and following.is_kind("contrast")


def _decide(case: str, words: list[_Word], start: int, first: int, last: int) -> FileName:
    """Choose the modality of an image's words, or refuse those that contradict each other."""
    heads = [word for word in words[first : last + 1] if word.is_head]
    said = words[start:]
    between = {part for word in words[first:last] for part in word.parts if kind_of(part, "relation")}
    modalities = [word.modality for word in heads]
    if modalities[-1] == "t2" and words[-1].text.lower() == "f":
        modalities[-1] = "flair"
    text = "_".join(word.text.lower() for word in said)
    if None in modalities:
        glued = next(word for word in heads if word.modality is None)
        return _contradiction(case, [(part, HEADS[part]) for part in glued.parts if part in HEADS])
    contrast, plain = any(word.contrast for word in said), any(word.plain for word in said)
    named = [word for word in heads if "t1" in word.parts]
    differing = len({word.contrast for word in named}) > 1 or (bool(between) and len(named) > 1 and contrast)
    if len(set(modalities)) > 1 or differing:
        if sorted(map(str, modalities)) != ["flair", "t2"] or modalities[-1] != "flair" or between - {"space"}:
            return _contradiction(case, [(word.text, _with_contrast(word)) for word in heads])
        return FileName(case, "flair", text)
    modality = str(modalities[-1])
    if modality != "t1":
        return FileName(case, modality, text)
    if any(word.text.lower() in ("post", "postcontrast") for word in said) and plain:
        return _contradiction(
            case, [(word.text, "t1" if word.plain else "t1ce") for word in said if word.contrast or word.plain]
        )
    if any(word.text.lower() == "pre" and after.text.lower() in AGENTS for word, after in pairwise(words[start:first])):
        return _contradiction(case, [("T1 before contrast agent", "t1"), ("contrast agent, before surgery", "t1ce")])
    if not contrast and not plain and not named:
        return FileName(
            case, reason=f"{heads[0].text!r} does not say whether with contrast agent (t1ce) or without (t1)"
        )
    if start and not contrast and not plain and words[start - 1].text.lower() == "post":
        return _contradiction(case, [("T1 after contrast agent", "t1ce"), ("T1 after surgery", "t1")])
    return FileName(case, "t1ce" if contrast and not plain else "t1", text)


def _with_contrast(word: _Word) -> str:
    modality = word.modality or ""
    return "t1ce" if modality == "t1" and word.contrast else modality


def _contradiction(case: str, readings: list[tuple[str, str]]) -> FileName:
    unique = tuple(dict.fromkeys(readings))
    said = " and ".join(f"{word!r} ({modality})" for word, modality in unique)
    return FileName(case, readings=unique, reason=f"its name says {said}, which contradict each other")


def _case(stem: str, words: list[_Word], start: int) -> str:
    """Return what stands before ``words[start]``; words of processing alone are no name."""
    if start == len(words):
        return stem
    before = stem[: words[start].start].rstrip("-_ ([,")
    if set(before) == {"."}:
        return before  # a name that is then refused: its results would leave their folder
    if all(word.is_kind("processing", "qualifier") for word in words[:start]):
        return ""
    return before.rstrip("-_ .([,")
