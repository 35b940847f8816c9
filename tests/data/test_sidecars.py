"""A sidecar decides against a misleading name, names what the name does not, and is never believed in silence."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from pkdr_monai.data import check_cases, find_cases, inference_items
from pkdr_monai.data.sidecars import sidecar_facts

SE = {"Modality": "MR", "ImageType": ["ORIGINAL", "PRIMARY", "M", "ND", "NORM"], "ScanningSequence": "SE"}
T1 = {**SE, "EchoTime": 0.012, "RepetitionTime": 0.5}
T2 = {**SE, "EchoTime": 0.098, "RepetitionTime": 4.5}
FLAIR = {**SE, "ScanningSequence": "SE_IR", "EchoTime": 0.12, "RepetitionTime": 9, "InversionTime": 2.5}
MPRAGE = {**SE, "ScanningSequence": "GR_IR", "SequenceVariant": "SK_SP_MP", "EchoTime": 0.0023, "RepetitionTime": 1.9}
MPRAGE |= {"InversionTime": 0.9}
GD, NONE = {"ContrastBolusAgent": "Gadovist"}, {"ContrastBolusAgent": "NONE"}

Row = tuple[str, dict[str, Any] | str, str | None, str]

AGREES: list[Row] = [
    ("a_T1.nii.gz", T1, "t1", ""),
    ("a_T1ce.nii.gz", T1, "t1ce", ""),  # a header that says nothing of an agent contradicts nothing
    ("a_T1ce.nii.gz", MPRAGE | GD, "t1ce", ""),
    ("a_FLAIR.nii.gz", FLAIR, "flair", ""),
    ("a_T2.nii.gz", {"SkullStripped": True}, "t2", ""),  # a derivative's own sidecar: no times
    ("a_T2.nii.gz", {}, "t2", ""),
    ("a_T2.nii.gz", T2 | {"ImageType": ["DERIVED", "SECONDARY"]}, "t2", ""),
    ("a_FLAIR.nii.gz", FLAIR | {"ScanningSequence": ["SE", "IR"], "EchoTime": [0.12]}, "flair", ""),
]
DECIDES: list[Row] = [
    ("a_T1.nii.gz", T1 | GD, "t1ce", "its name says t1, but its sidecar a_T1.json says t1ce (spin echo with TE 12 ms"),
    (
        "a_T1.nii.gz",
        MPRAGE | {"ContrastBolusIngredient": "GADOLINIUM"},
        "t1ce",
        "contrast agent 'GADOLINIUM'): t1ce is",
    ),
    ("a_T1ce.nii.gz", T1 | NONE, "t1", "the header says that no contrast agent was given): t1 is taken"),
    ("a_T1ce.nii.gz", MPRAGE | {"ContrastBolusAgent": "NO"}, "t1", "TI 900 ms with TE 2.3 ms"),
    (
        "a_T2.nii.gz",
        FLAIR,
        "flair",
        "its name says t2, but its sidecar a_T2.json says flair (TI 2500 ms with TE 120 ms)",
    ),
    ("a_FLAIR.nii.gz", T2, "t2", "TE 98 ms, TR 4500 ms, no inversion): t2 is taken"),
    ("a_FLAIR.nii.gz", MPRAGE | GD, "t1ce", "its name says flair"),
    ("a_T2.nii.gz", T1 | NONE, "t1", "its name says t2"),
    ("FLAIR_reg_T1.nii.gz", FLAIR, "flair", "contradict each other; its sidecar FLAIR_reg_T1.json says flair"),
]
NAMES: list[Row] = [
    ("x_ax_601.nii.gz", FLAIR, "flair", ""),
    ("601.nii", T2, "t2", ""),
    ("t2_tse_dark-fluid_601.nii.gz", FLAIR, "flair", ""),  # a number after the modality is no known word
    ("x_mprage.nii.gz", MPRAGE | GD, "t1ce", ""),
    ("x_mprage.nii.gz", MPRAGE | NONE, "t1", ""),
    ("x_mprage.nii.gz", MPRAGE | {"SeriesDescription": "T1 mprage nativ"}, "t1", ""),
    ("x_mprage.nii.gz", MPRAGE | {"SeriesDescription": "t1_mprage_sag_post_KM"}, "t1ce", ""),
]
DOUBTS: list[Row] = [
    ("a_FLAIR.nii.gz", T2 | {"SeriesDescription": "AX FLAIR"}, "flair", "which is uncertain: flair is taken"),
    ("a_FLAIR.nii.gz", T2 | {"ImageType": ["DERIVED", "SECONDARY"]}, "flair", "DERIVED/SECONDARY"),
    ("a_T2.nii.gz", T2 | {"EchoTime": 98}, "t2", "its EchoTime is 98, which is no number of seconds up to 1"),
    ("a_T2.nii.gz", T2 | {"EchoTime": "0.098"}, "t2", "its EchoTime is '0.098'"),
    ("a_T2.nii.gz", '{"EchoTime": 0.098', "t2", "its sidecar a_T2.json is not read: it is no valid JSON"),
    ("a_T2.nii.gz", "[1]", "t2", "it is no JSON object"),
]


def _find(folder: Path, row: Row) -> Any:
    name, content, *_ = row
    (folder / "ann").mkdir(exist_ok=True)
    (folder / "ann" / name).touch()
    text = content if isinstance(content, str) else json.dumps(content)
    (folder / "ann" / name.replace(".nii.gz", ".nii").replace(".nii", ".json")).write_text(text, encoding="utf-8")
    (case,) = find_cases(folder).cases
    return case


@pytest.mark.parametrize("row", [*AGREES, *DECIDES, *NAMES, *DOUBTS])
def test_modality_and_what_is_said_of_it(row: Row, tmp_path: Path) -> None:
    case = _find(tmp_path, row)
    assert list(case.modalities) == [row[2]]
    if row[3]:
        ((path, note),) = case.notes
        assert path == f"ann/{row[0]}"
        assert row[3] in note
    else:
        assert case.notes == ()


@pytest.mark.parametrize(
    ("name", "content", "reason"),
    [
        ("a_T2.nii.gz", T2 | {"ImageType": ["DERIVED", "PRIMARY", "DIFFUSION", "ADC"]}, "derived map (ADC)"),
        ("a_T2.nii.gz", T2 | {"ScanningSequence": "EP_SE"}, "echo-planar"),
        ("a_T1.nii.gz", {"Modality": "CT"}, "its modality is CT, not MR"),
        ("a_T2.nii.gz", {**SE, "EchoTime": 0.03, "RepetitionTime": 2.5}, "proton density"),
        ("x_601.nii.gz", {"Modality": "CT"}, "not MR"),
        ("x_601.nii.gz", T1, "its name says no modality"),  # with an agent or without, nothing says
        ("x_601.nii.gz", "{", "and its sidecar x_601.json is not read"),
    ],
)
def test_what_is_none_of_the_four_is_passed_over_with_the_reason(
    name: str, content: Any, reason: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "ann").mkdir()
    (tmp_path / "ann" / "ann_flair.nii.gz").touch()
    case = _find(tmp_path, (name, content, None, ""))
    assert list(case.modalities) == ["flair"]
    assert f"ann/{name}" in caplog.text
    assert reason in caplog.text


@pytest.mark.parametrize("name", ["t2_bet_mask.nii.gz", "a_seg.nii.gz", "T1map.nii.gz"])
def test_a_mask_a_map_or_a_label_is_no_image_whatever_its_sidecar(name: str, tmp_path: Path) -> None:
    (tmp_path / "ann").mkdir()
    (tmp_path / "ann" / "a_flair.nii.gz").touch()
    case = _find(tmp_path, (name, T2, None, ""))
    assert list(case.modalities) == ["flair"]


def test_a_t1_of_unknown_agent_that_is_named_t2_is_refused(tmp_path: Path) -> None:
    case = _find(tmp_path, ("a_T2.nii.gz", T1, None, ""))
    assert case.modalities == {}
    with pytest.raises(ValueError, match=r"says t1 or t1ce .* with --t2 FILE or --t1 FILE or --t1ce FILE"):
        case.refuse_unclear()


def test_checks_and_the_bundle_say_the_contradiction(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    case = _find(tmp_path, ("a_T2.nii.gz", FLAIR, "flair", ""))
    problems = check_cases([case], tmp_path, "brats2018", ["flair"], need_label=False, voxels=False)
    assert [(problem.severity, problem.what[:38]) for problem in problems if "sidecar" in problem.what] == [
        ("warning", "its name says t2, but its sidecar a_T2")
    ]
    items = inference_items(tmp_path, ["flair"])
    assert items[0]["image"] == [str(tmp_path / "ann" / "a_T2.nii.gz")]
    assert "its name says t2, but its sidecar a_T2.json says flair" in caplog.text


def test_two_files_that_are_one_modality_by_their_sidecars_are_an_error(tmp_path: Path) -> None:
    _find(tmp_path, ("a_T1ce.nii.gz", T1 | GD, "t1ce", ""))
    case = _find(tmp_path, ("a_T1.nii.gz", T1 | GD, "t1ce", ""))
    assert list(case.modalities) == ["t1ce"]
    assert len(case.duplicates) == 1


def test_seconds_become_milliseconds_and_codes_are_split() -> None:
    facts = sidecar_facts(MPRAGE | {"ScanningSequence": "GR\\IR"})
    assert (facts.te, facts.tr, facts.ti) == ((2.3,), 1900.0, 900.0)
    assert (facts.scanning, facts.variant, facts.agent) == (("GR", "IR"), ("SK", "SP", "MP"), None)
