"""Which cases are scans of one patient: by the conventions of data sets, or as a table says."""

from __future__ import annotations

import csv
import re
from collections import defaultdict
from collections.abc import Collection, Iterable, Sequence
from pathlib import Path

from pkdr_monai.errors import InputError, some

__all__ = ["is_timepoint", "patient_of", "read_patients", "shared_stems"]

DATE = r"(?:19|20)\d\d[-.]?[01]\d[-.]?[0-3]\d"
TIMEPOINT = (
    r"(?:ses|session|visit|tp|time|time[-_]?point|week|wk|month|mo|day|year|yr|fu|follow[-_]?up|baseline|"
    r"bl|pre[-_]?op|post[-_]?op|progression|recurrence)"
    r"[-_]?\d*[a-z]?(?:[-_]\d{1,2})?"
)
CONVENTIONS = tuple(
    re.compile(pattern, re.IGNORECASE)
    for pattern in (
        r"(?P<patient>sub-[^_]+)(?:_.+)?",  # BIDS
        r"(?P<patient>BraTS-[A-Za-z]+(?:-[A-Za-z]+)*-\d+)-\d+",  # BraTS 2023 and later, BraTS-MEN-RT
        r"(?P<patient>UPENN-GBM-\d+)_\d+(?:_.+)?",
        r"(?P<patient>UCSF-PDGM-\d+)(?:_FU\w*)?(?:_nifti)?",
        r"(?P<patient>RHUH-\d+)[-_]\d+",
        r"(?P<patient>TCGA-\w\w-\w{4})(?:[-_].+)?",
        rf"(?P<patient>.*\w)[-_](?:{DATE}|{TIMEPOINT})(?:[-_]{DATE})?",  # LUMIERE's weeks, and others
    )
)
STEMS = (re.compile(r"(?P<stem>.+)[-_. ][A-Za-z]{0,12}\d{0,4}[A-Za-z]?"), re.compile(r"(?P<stem>.*\d)[A-Za-z]"))
MOST_SCANS = 12  # of one patient; more cases with one stem are a data set
CASE_COLUMNS = ("case", "case_id", "name", "scan", "scan_id", "image", "session")
PATIENT_COLUMNS = ("patient", "patient_id", "subject", "subject_id", "person")
EXPECTED = "expected the columns case and patient, or BIDS's participant_id"


def is_timepoint(name: str) -> bool:
    """Return whether a folder's name says when a patient was scanned, and not who it is.

    Example:
        >>> [is_timepoint(name) for name in ("ses-1", "week-000-1", "2019-01-31", "ann")]
        [True, True, True, False]
    """
    return bool(re.fullmatch(rf"{DATE}|{TIMEPOINT}", name, re.IGNORECASE))


def patient_of(name: str) -> str:
    """Return the patient of a case by the conventions of data sets; a case that follows none is its own patient.

    Example:
        >>> patient_of("sub-01_ses-2"), patient_of("UPENN-GBM-00001_21"), patient_of("Brats18_2013_11_1")
        ('sub-01', 'UPENN-GBM-00001', 'Brats18_2013_11_1')
    """
    return next((match["patient"] for rule in CONVENTIONS if (match := rule.fullmatch(name))), name)


def shared_stems(names: Iterable[str]) -> list[list[str]]:
    """Return groups of cases whose names look like scans of one patient but follow no known convention.

    Example:
        >>> shared_stems(["P1_a", "P1_b", "P2_a", "P2_b"])
        [['P1_a', 'P1_b'], ['P2_a', 'P2_b']]
        >>> shared_stems(["case_1", "case_2", "case_3"])
        []
    """
    names = sorted(names)
    loose = [name for name in names if patient_of(name) == name and not any(r.fullmatch(name) for r in CONVENTIONS)]
    present = {*loose}
    groups: dict[str, list[str]] = defaultdict(list)
    for name in loose:
        stems = [match["stem"] for rule in STEMS if (match := rule.fullmatch(name))]
        groups[next((stem for stem in stems if stem in present), stems[0] if stems else name)].append(name)
    for stem in [stem for stem in groups if stem in groups and stem in present]:
        if stem not in groups[stem]:
            groups[stem] = sorted({*groups[stem], stem})
    return [group for group in groups.values() if 1 < len(group) <= MOST_SCANS and len(groups) > 1]


def read_patients(path: str | Path, names: Collection[str]) -> dict[str, str]:
    """Read from a table to which patient each case belongs.

    Args:
        path: a CSV or TSV file with a column of cases (``case``) and one of patients (``patient``); or the
            ``participants.tsv`` of BIDS, whose ``participant_id`` is the beginning of its cases' names.
        names: the cases there are; the table may name others.

    Returns:
        The patient of each of ``names``.

    Raises:
        InputError: when the table cannot be read, has other columns, contradicts itself, or lacks a case.
    """
    rows = _rows(Path(path))
    columns = list(rows[0]) if rows else []
    case = next((column for column in CASE_COLUMNS if column in columns), None)
    patient = next((column for column in PATIENT_COLUMNS if column in columns), None)
    by_start = case is None and "participant_id" in columns
    if by_start:
        case = "participant_id"
    elif case is not None and patient is None and "participant_id" in columns:
        patient = "participant_id"
    if case is None or (patient is None and not by_start):
        raise InputError(f"{path} has the columns {', '.join(columns) or 'none'}: {EXPECTED}. Correct its first line.")
    table: dict[str, str] = {}
    for row in rows:
        key, value = row[case], row[patient or case]
        if key and value and table.setdefault(key, value) != value:
            raise InputError(f"{path} gives {key} to the patients {table[key]} and {value}: keep one of the lines.")
    found = {name: table.get(_key(name, table, by_start), "") for name in names}
    absent = sorted(name for name, value in found.items() if not value)
    if absent:
        raise InputError(f"{path} does not say whose scan {some(absent, 5)} is: add a line for each case.")
    return found


def _key(name: str, table: Collection[str], by_start: bool) -> str:
    if name in table or not by_start:
        return name
    starts = [key for key in table if name.startswith((f"{key}_", f"{key}-"))]
    return max(starts, key=len, default=name)


def _rows(path: Path) -> Sequence[dict[str, str]]:
    try:
        lines = path.read_text(encoding="utf-8-sig").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"cannot read {path}: {error}. {EXPECTED.capitalize()}, as UTF-8.") from error
    first = lines[0] if lines else ""
    delimiter = max("\t,;", key=first.count)
    return [
        {(key or "").strip().lower(): (value or "").strip() for key, value in row.items() if isinstance(value, str)}
        for row in csv.DictReader(lines, delimiter=delimiter)
    ]
