"""The series of a DICOM folder: which files belong together, what their headers say, and each as a volume."""

from __future__ import annotations

import hashlib
import re
import shutil
import subprocess
import tempfile
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from pkdr_monai.data.acquisition import Facts, agent_named
from pkdr_monai.errors import InputError
from pkdr_monai.files import content_hash, file_hash
from pkdr_monai.prepare.dicom_files import files_below, is_dicom, quiet_pydicom, read_dicom, require_extra
from pkdr_monai.prepare.volume import Volume, read_volume

__all__ = ["Series", "convert_series", "converter_version", "read_series"]

OPTIONS = ("-f", "volume", "-b", "n", "-z", "n", "-x", "n")  # neither sidecar nor compression nor cropping
PARALLEL = 1e-3  # of direction cosines, which are stored with few digits
PRIVATE = ("PatientID", "PatientBirthDate", "AccessionNumber", "StudyID")


@dataclass(frozen=True)
class Series:
    """One series of a study.

    Args:
        uid: its SeriesInstanceUID.
        study: its StudyInstanceUID.
        patient: a hash of the patient's identity.
        number: its SeriesNumber, ``""`` where there is none.
        files: its files, in the order of their names.
        facts: what its headers say.
    """

    uid: str
    study: str
    patient: str
    number: str
    files: tuple[Path, ...] = field(repr=False)
    facts: Facts

    @property
    def key(self) -> str:
        """A hash of its UID that names it, eight hexadecimal digits."""
        return hashlib.sha256(self.uid.encode()).hexdigest()[:8]

    @property
    def title(self) -> str:
        """How it is named to people."""
        number = f"series {self.number} ({self.key})" if self.number else f"series {self.key}"
        return f"{number} {self.facts.description!r}" if self.facts.description else number

    def content(self) -> str:
        """Return a hash of what its files hold, whatever their names and order."""
        return content_hash(sorted(map(file_hash, self.files)))


def read_series(folder: Path) -> list[Series]:
    """Read the headers of all DICOM files below a folder, and group them by series.

    Args:
        folder: the folder; files that are not DICOM are passed over.

    Returns:
        The series, by their numbers.

    Raises:
        InputError: when there is no DICOM file, one is damaged, or they belong to several studies or patients.
    """
    require_extra()
    headers: dict[str, list[tuple[Path, Any]]] = defaultdict(list)
    with quiet_pydicom():
        for path in files_below(folder):
            if is_dicom(path):
                dataset = read_dicom(path)
                if dataset is not None:
                    headers[str(dataset.get("SeriesInstanceUID", ""))].append((path, dataset))
        if not headers:
            raise InputError("the input holds no DICOM image: give the folder or the zip of one study.")
        found = [_series(uid, members) for uid, members in headers.items()]
    for what, values in (("patients", {one.patient for one in found}), ("studies", {one.study for one in found})):
        if len(values) > 1:
            raise InputError(f"the input holds {len(values)} {what}: give the folder of one study of one patient.")
    return sorted(found, key=lambda one: (int(one.number) if one.number.isdigit() else 0, one.uid))


def _series(uid: str, members: Sequence[tuple[Path, Any]]) -> Series:
    first = members[0][1]
    identity = [str(first.get("PatientID", "")), str(first.get("PatientName", ""))]
    facts = read_facts([dataset for _, dataset in members])
    number = first.get("SeriesNumber")
    return Series(
        uid=uid,
        study=str(first.get("StudyInstanceUID", "")),
        patient=content_hash(identity),
        number="" if number is None else str(number),
        files=tuple(path for path, _ in members),
        facts=facts,
    )


def read_facts(datasets: Sequence[Any]) -> Facts:
    """Read the facts of one series.

    An enhanced object holds its attributes in functional groups, those of all frames or of each.

    Args:
        datasets: the headers of its files.
    """
    first = datasets[0]
    places = [place for dataset in datasets for place in _places(dataset)]
    normals = _distinct_normals(places)
    echoes = {value for dataset in datasets for value in _numbers(dataset, "EchoTime", "EffectiveEchoTime")}
    b_values = {value for dataset in datasets for value in _numbers(dataset, "DiffusionBValue")}
    return Facts(
        modality=str(first.get("Modality", "")),
        sop_class=str(getattr(first.get("SOPClassUID", ""), "name", "")).removesuffix(" Storage"),
        description=_without_names(str(first.get("SeriesDescription", "")), first),
        sequence=" ".join(str(_value(first, word) or "") for word in ("SequenceName", "PulseSequenceName")).strip(),
        scanning=_scanning(first),
        variant=_words(first, "SequenceVariant") + ("SP",) * (_value(first, "Spoiling") not in (None, "NONE")),
        te=tuple(sorted(echoes)),
        tr=next(iter(_numbers(first, "RepetitionTime")), None),
        ti=next(iter(_numbers(first, "InversionTime", "InversionTimes")), None),
        image_type=_image_type(datasets),
        contrast=str(_value(first, "AcquisitionContrast") or "").upper(),
        agent=_agent(first),
        diffusion=any(value > 0 for value in b_values),
        slices=max(len(places), len(datasets)),
        directions=len(normals),
        gaps=len(normals) == 1 and _has_gaps(places, normals[0]),
    )


def _image_type(datasets: Sequence[Any]) -> tuple[str, ...]:
    """Return ImageType, and what an enhanced object says of its frames if they are no magnitudes."""
    found = tuple(str(word).upper() for word in datasets[0].get("ImageType", None) or ())
    groups = (group for dataset in datasets for group in _groups(dataset, every=True))
    components = {str(group.get("ComplexImageComponent") or "MAGNITUDE").upper() for group in groups}
    return (*found, *sorted(components - {"MAGNITUDE", *found}))


def _groups(dataset: Any, every: bool = False) -> Iterator[Any]:
    """Yield where an attribute may stand: at the top, in the shared and in each or the first frame's groups."""
    yield dataset
    for word in ("SharedFunctionalGroupsSequence", "PerFrameFunctionalGroupsSequence"):
        items = dataset.get(word) or ()
        for item in items if every else items[:1]:
            yield from (nested.value[0] for nested in item if nested.VR == "SQ" and nested.value)


def _value(dataset: Any, word: str) -> Any:
    for group in _groups(dataset):
        if word in group and group[word].value not in (None, ""):
            return group[word].value
    return None


def _numbers(dataset: Any, *words: str) -> list[float]:
    found = []
    for group in _groups(dataset, every=True):
        for word in words:
            value = group.get(word)
            values = (
                []
                if value is None or value == ""
                else list(value)
                if isinstance(value, Sequence) and not isinstance(value, str)
                else [value]
            )
            found += [round(float(number), 3) for number in values]
    return found


def _words(dataset: Any, word: str) -> tuple[str, ...]:
    value = _value(dataset, word)
    return () if value is None else (str(value),) if isinstance(value, str) else tuple(map(str, value))


def _scanning(dataset: Any) -> tuple[str, ...]:
    """Return ScanningSequence, or what an enhanced object says in its place."""
    found = _words(dataset, "ScanningSequence")
    if found:
        return found
    kind = {"SPIN": ("SE",), "GRADIENT": ("GR",), "BOTH": ("SE", "GR")}.get(
        str(_value(dataset, "EchoPulseSequence")), ()
    )
    inverted = ("IR",) * (_value(dataset, "InversionRecovery") == "YES")
    planar = ("EP",) * (_value(dataset, "EchoPlanarPulseSequence") == "YES")
    return (*kind, *inverted, *planar)


def _agent(dataset: Any) -> str | None:
    named = dataset.get("ContrastBolusAgent")
    items = dataset.get("ContrastBolusAgentSequence")
    if items:
        return str(items[0].get("CodeMeaning", "") or "named by a code")
    agent = agent_named(None if named is None else str(named))
    return _without_names(agent, dataset) if agent else agent


def _places(dataset: Any) -> list[tuple[np.ndarray, np.ndarray]]:
    """Return the position and the normal of each image in a file."""
    frames = dataset.get("PerFrameFunctionalGroupsSequence") or ()
    if not frames:
        found = [(dataset.get("ImagePositionPatient"), dataset.get("ImageOrientationPatient"))]
    else:
        shared = (dataset.get("SharedFunctionalGroupsSequence") or [None])[0]
        found = [
            (
                _nested(frame, shared, "PlanePositionSequence", "ImagePositionPatient"),
                _nested(frame, shared, "PlaneOrientationSequence", "ImageOrientationPatient"),
            )
            for frame in frames
        ]
    return [
        (np.array(position, float), np.cross(np.array(axes, float)[:3], np.array(axes, float)[3:]))
        for position, axes in found
        if position is not None and axes is not None and len(position) == 3 and len(axes) == 6
    ]


def _nested(frame: Any, shared: Any, sequence: str, word: str) -> Any:
    for group in (frame, shared):
        if group is not None and group.get(sequence):
            return group[sequence].value[0].get(word)
    return None


def _distinct_normals(places: Sequence[tuple[np.ndarray, np.ndarray]]) -> list[np.ndarray]:
    normals: list[np.ndarray] = []
    for _, normal in places:
        if not any(np.abs(normal - known).max() < PARALLEL for known in normals):
            normals.append(normal)
    return normals


def _has_gaps(places: Sequence[tuple[np.ndarray, np.ndarray]], normal: np.ndarray) -> bool:
    """Return whether slices are missing: distances that differ by more than a tenth. Repeated places count once."""
    depths = np.unique(np.round([float(position @ normal) for position, _ in places], 2))
    steps = np.diff(depths)
    return bool(steps.size and steps.max() > 1.1 * steps.min())


def _without_names(text: str, dataset: Any) -> str:
    """Return free text without the words that name a person of this file, and without control characters."""
    private = [str(element.value) for element in dataset if element.VR == "PN" and element.value]
    private += [str(dataset.get(word, "") or "") for word in PRIVATE]
    text = "".join(letter if letter.isprintable() else " " for letter in text)
    for word in {word for value in private for word in re.split(r"[\W_]+", value) if len(word) > 1}:
        bound = "" if len(word) > 3 else r"(?![^\W_])"
        text = re.sub(("" if len(word) > 3 else r"(?<![^\W_])") + re.escape(word) + bound, "***", text, flags=re.I)
    return text.strip()


def convert_series(series: Series, scratch: Path) -> Volume:
    """Convert one series with dcm2niix.

    Its files are linked under numbers into a folder of their own, so that dcm2niix sees no other series, and what it
    prints, which may name the patient, goes nowhere.

    Args:
        series: the series.
        scratch: an existing folder for temporary files.

    Raises:
        InputError: when dcm2niix fails, or makes more or fewer images of the series than one.
    """
    require_extra()
    import dcm2niix

    with tempfile.TemporaryDirectory(dir=scratch) as folder:
        source, target = Path(folder, "dicom"), Path(folder, "nifti")
        source.mkdir()
        target.mkdir()
        for number, path in enumerate(series.files):
            _link(path.absolute(), source / f"{number:06d}.dcm")
        words = [dcm2niix.bin, *OPTIONS, "-o", str(target), str(source)]
        ran = subprocess.run(words, capture_output=True, check=False)
        made = sorted(target.glob("*.nii"))
        if len(made) != 1:
            raise InputError(
                f"dcm2niix made {len(made)} images of {series.title} (exit code {ran.returncode}), expected one: "
                "name another series, or convert this one by hand and give its NIfTI file."
            )
        volume = read_volume(made[0], f"what dcm2niix made of {series.title}")
    if volume.voxels.shape[2] != series.facts.slices:
        raise InputError(
            f"{series.title} has {series.facts.slices} slices, of which dcm2niix took "
            f"{volume.voxels.shape[2]}: export it again."
        )
    return volume


def _link(source: Path, target: Path) -> None:
    try:
        target.symlink_to(source)
    except OSError:  # a file system, or a Windows user, without symbolic links
        shutil.copyfile(source, target)


def converter_version() -> str:
    """Return the version of dcm2niix."""
    require_extra()
    import dcm2niix

    printed = subprocess.run([dcm2niix.bin, "--version"], capture_output=True, text=True, check=False).stdout
    found = re.search(r"v\d\.\d\.\d+", printed)
    return found[0] if found else str(dcm2niix.__version__)
