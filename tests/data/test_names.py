"""What a file's name says, and what it leaves open."""

from __future__ import annotations

import logging
from pathlib import Path

import pytest

from pkdr_monai.data import find_cases, inference_items
from pkdr_monai.data.layouts import cases_of_files
from pkdr_monai.data.names import modality_of, output_key, parse_name, stem_of
from pkdr_monai.data.words import KINDS, kind_of, split_word
from pkdr_monai.errors import InputError
from pkdr_monai.inference.scans import find_scans
from pkdr_monai.reporting.volumes import case_of_file

IMAGES = {  # name without its ending: its case and its modality
    # BraTS, 2018 to 2024
    "Brats18_2013_11_1_t1ce": ("Brats18_2013_11_1", "t1ce"),
    "Brats18_TCIA01_221_1_flair": ("Brats18_TCIA01_221_1", "flair"),
    "BraTS-GLI-00000-000-t1n": ("BraTS-GLI-00000-000", "t1"),
    "BraTS-GLI-00000-000-t1c": ("BraTS-GLI-00000-000", "t1ce"),
    "BraTS-GLI-00000-000-t2W": ("BraTS-GLI-00000-000", "t2"),
    "BraTS-GLI-00000-000-t2f": ("BraTS-GLI-00000-000", "flair"),
    "BraTS-MEN-RT-0001-1_t1c": ("BraTS-MEN-RT-0001-1", "t1ce"),
    # BIDS
    "p1_t2": ("p1", "t2"),  # a patient; after the modality, p2 is an acceleration
    "p2_flair_p2": ("p2", "flair"),
    "sub-01_T1w": ("sub-01", "t1"),
    "sub-01_ce-GAD_T1w": ("sub-01", "t1ce"),
    "sub-01_ce-none_T1w": ("sub-01", "t1"),
    "sub-01_ses-2_acq-ax_ce-gad_run-1_T1w": ("sub-01_ses-2", "t1ce"),
    "sub-01_acq-postcontrast_T1w": ("sub-01", "t1ce"),
    "sub-01_acq-T1post_T1w": ("sub-01", "t1ce"),
    "sub-01_acq-mprage_T1w": ("sub-01", "t1"),
    "sub-01_space-T1w_desc-brain_FLAIR": ("sub-01", "flair"),
    "sub-01_space-T1w_res-1_T2w": ("sub-01", "t2"),
    "sub-01_desc-regT1_FLAIR": ("sub-01", "flair"),
    "sub-01_desc-preproc_T1w": ("sub-01", "t1"),
    "sub-01_acq-FLAIR_T2w": ("sub-01", "flair"),
    "sub-01_T1_Gd": ("sub-01", "t1ce"),
    # contrast agent, as people write it
    "ann_T1post": ("ann", "t1ce"),
    "ann_T1_Gd": ("ann", "t1ce"),
    "ann-T1-Gd": ("ann", "t1ce"),
    "ann_CT1": ("ann", "t1ce"),
    "ann_T1C": ("ann", "t1ce"),
    "ann_T1+C": ("ann", "t1ce"),
    "ann_T1_C+": ("ann", "t1ce"),
    "ann_T1_c": ("ann", "t1ce"),
    "ann_T1w_contrast": ("ann", "t1ce"),
    "ann_T1w_post_contrast": ("ann", "t1ce"),
    "ann_postcontrast": ("ann", "t1ce"),
    "ann_pre_contrast_T1": ("ann", "t1"),
    "ann_pre-contrast_mprage": ("ann", "t1"),
    "ann_post_contrast_T1": ("ann", "t1ce"),
    "ann_no_contrast_T1": ("ann", "t1"),
    "ann_no_gad_T1": ("ann", "t1"),
    "ann_T1_pre_Gd": ("ann", "t1"),
    "ann_t1_ce": ("ann", "t1ce"),
    "ann_T1gad": ("ann", "t1ce"),
    "ann_ceT1w": ("ann", "t1ce"),
    "ann_T1_KM": ("ann", "t1ce"),
    "ann_t1_mprage_sag_p2_iso_Gd": ("ann", "t1ce"),
    "ann_mprage_post": ("ann", "t1ce"),
    "ann_T1 post GAD": ("ann", "t1ce"),
    "UPENN-GBM-00001_11_T1GD": ("UPENN-GBM-00001_11", "t1ce"),
    # and none of it
    "ann_T1_pre_contrast": ("ann", "t1"),
    "ann_T1_no_contrast": ("ann", "t1"),
    "ann_T1_native": ("ann", "t1"),
    "ann_T1_MPRAGE": ("ann", "t1"),
    "ann_3DT1": ("ann", "t1"),
    "ann_T1-weighted": ("ann", "t1"),
    "ann_MPRAGE_native": ("ann", "t1"),
    # FLAIR
    "ann_T2_FLAIR": ("ann", "flair"),
    "ann_t2flair": ("ann", "flair"),
    "ann_t2_tse_dark-fluid": ("ann", "flair"),
    "ann_T2_SPACE_dark_fluid": ("ann", "flair"),
    "ann_ax_flair_3d": ("ann", "flair"),
    # words of processing say nothing
    "ann_t2_bet": ("ann", "t2"),
    "ann_t1_n4_ss_reg": ("ann", "t1"),
    "ann_t2_skull_stripped": ("ann", "t2"),
    "ann_t1_to_mni_warped": ("ann", "t1"),
    "ann_T1Gd_reg": ("ann", "t1ce"),
    "ann_brain_t2": ("ann", "t2"),
    "ann_t2w_in_mni": ("ann", "t2"),
    "ann.1_t2": ("ann.1", "t2"),
    "t2dm_flair": ("t2dm", "flair"),
    "P1_preop_T1": ("P1_preop", "t1"),
    "P1_post_T2": ("P1_post", "t2"),
    "P1_post_T1ce": ("P1_post", "t1ce"),
}
CONTRADICTIONS = {  # name: the two modalities
    "ann_FLAIR_reg_T1": {"flair", "t1"},
    "ann_T2_to_T1": {"t2", "t1"},
    "ann_T2toT1": {"t2", "t1"},
    "ann_FLAIR2T1": {"flair", "t1"},
    "ann_FLAIR_T2": {"flair", "t2"},
    "ann_T2_to_FLAIR": {"flair", "t2"},
    "ann_T1_FLAIR": {"flair", "t1"},
    "ann_T1_to_T1ce": {"t1", "t1ce"},
    "ann_T1_in_T1c_space": {"t1", "t1ce"},
    "ann_T1ce_to_T1": {"t1", "t1ce"},
    "ann_T1_CT1": {"t1", "t1ce"},
    "ann_T1_pre_post": {"t1", "t1ce"},
    "ann_post_T1": {"t1", "t1ce"},
    "ann_t2_mprage": {"t1", "t2"},
    "sub-01_acq-FLAIR_T1w": {"flair", "t1"},
    "sub-01_FLAIR_reg_T1": {"flair", "t1"},
    "ann_pre_Gd_T1": {"t1", "t1ce"},
}
NEITHER = [
    *("ann_t2_bet_mask", "ann_t1_mask", "ann_brain_mask", "sub-01_desc-brain_mask", "sub-01_desc-aseg_dseg"),
    *("UCSF-PDGM-0004_brain_segmentation", "UCSF-PDGM-0004_brain_parenchyma_segmentation", "UCSF-PDGM-0004_T1_bias"),
    *("ann_T2star", "ann_T2_star", "sub-01_T2star", "ann_T1map", "ann_T2_map", "ann_adc", "ann_ADC_T2", "sub-01_bold"),
    *("ann_reg_to_T1", "ann_seg_t1", "segmentation_CT1_origspace", "MPRAGE", "CASE_0000", "ann_t1_001", "atlas"),
    *("UPENN-GBM-00001_11_T1_unstripped", "sub-01_part-phase_T1w", "ann_t1_warp", "ann_ct", "ann_probabilities"),
]
LABELS = {  # name: case and rank
    "ann_seg": ("ann", 1),
    "W39_1998.09.19_Segm": ("W39_1998.09.19", 1),
    "BraTS-GLI-00000-000-seg": ("BraTS-GLI-00000-000", 1),
    "BraTS-MEN-RT-0001-1_gtv": ("BraTS-MEN-RT-0001-1", 1),
    "sub-01_dseg": ("sub-01", 1),
    "sub-01_label-tumor_mask": ("sub-01", 1),
    "UCSF-PDGM-0004_tumor_segmentation": ("UCSF-PDGM-0004", 1),
    "TCGA-02-0006_1996.08.23_GlistrBoost": ("TCGA-02-0006_1996.08.23", 0),
    "TCGA-02-0006_1996.08.23_GlistrBoost_ManuallyCorrected": ("TCGA-02-0006_1996.08.23", 2),
    "UPENN-GBM-00001_11_segm": ("UPENN-GBM-00001_11", 1),
    "UPENN-GBM-00001_11_automated_approx_segm": ("UPENN-GBM-00001_11", 0),
    "ann_t2_seg": ("ann", 1),
    "ann_label": ("ann", 1),
    "ann_mask": ("ann", 0),
    "MASK": ("", 0),
    "ann_ground_truth": ("ann", 1),
}


@pytest.mark.parametrize("name", IMAGES)
@pytest.mark.parametrize("ending", [".nii.gz", ".NII"])
def test_an_images_name_says_its_case_and_modality(name: str, ending: str) -> None:
    parsed = parse_name(name + ending)
    assert (parsed.case, parsed.content) == IMAGES[name]
    assert parsed.reason == ""


@pytest.mark.parametrize("name", CONTRADICTIONS)
def test_two_modalities_in_one_name_are_both_given_and_none_is_chosen(name: str) -> None:
    parsed = parse_name(f"{name}.nii.gz")
    assert parsed.content is None
    assert {modality for _, modality in parsed.readings} == CONTRADICTIONS[name]
    assert all(word in parsed.reason for word, _ in parsed.readings)


@pytest.mark.parametrize("name", NEITHER)
def test_what_is_no_image_or_label_says_why(name: str) -> None:
    parsed = parse_name(f"{name}.nii.gz")
    assert (parsed.content, parsed.readings) == (None, ())
    assert parsed.reason


@pytest.mark.parametrize("name", LABELS)
def test_labels_are_known_with_their_case_and_rank(name: str) -> None:
    parsed = parse_name(f"{name}.nii.gz")
    assert (parsed.content, parsed.case, parsed.rank) == ("label", *LABELS[name])


@pytest.mark.parametrize("name", ["t1", "T1_Gd", "brain_t2", "ax_t1_post", "3D_T1", "seg", "Mask"])
def test_a_name_of_content_alone_has_no_case(name: str) -> None:
    assert parse_name(f"{name}.nii").case == ""


def test_a_folder_named_like_a_file_counts_for_the_file_in_it() -> None:
    parsed = parse_name("x/BraTS2021_00495_flair.nii.gz/00000057_brain_flair.nii")
    assert (parsed.case, parsed.content) == ("BraTS2021_00495", "flair")


@pytest.mark.parametrize(
    ("text", "modality"), [("MRI_T1", "t1"), ("t1gd", "t1ce"), ("T1-Gd", "t1ce"), ("noNorm", None)]
)
def test_channels_of_a_description_are_named_by_the_same_words(text: str, modality: str | None) -> None:
    assert modality_of(text) == modality


def test_names_of_results_are_compared_without_endings_and_letter_case() -> None:
    assert len({output_key(name) for name in ("t2.nii", "T2.nii.gz", "t2.NII.GZ")}) == 1
    assert output_key("e\u0301_t2.nii") == output_key("\u00e9_t2.nii")
    assert stem_of("a.1_t2.NII.gz") == "a.1_t2"


def test_all_that_read_names_agree(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """Data sets, data lists, prediction, the bundle's inference and reports read one name in one way."""
    caplog.set_level(logging.CRITICAL)
    everything = {**IMAGES, **dict.fromkeys(CONTRADICTIONS), **dict.fromkeys(NEITHER)}
    del everything["CASE_0000"]  # for which there is a sentence of its own
    assert len(everything) > 60
    for number, (name, said) in enumerate(everything.items()):
        folder = tmp_path / f"case{number}"
        folder.mkdir()
        path = folder / f"{name}.nii.gz"
        path.touch()
        if said is None:
            for reader in (find_refused, scan_refused, items_refused):
                assert reader(folder, path), (name, reader)
            continue
        case, modality = said
        found = (find_cases(folder).cases, cases_of_files([path], Path()), [s.case for s in find_scans([folder])])
        found += ([scan.case for scan in find_scans([path])],)
        assert [(only.name, list(only.modalities)) for (only,) in found] == [(case, [modality])] * 4
        assert [item["case"] for given in (folder, path) for item in inference_items(given, [modality])] == [case] * 2
        assert case_of_file(str(path)) == case


def find_refused(folder: Path, path: Path) -> bool:
    try:
        return all(case.unclear and not case.modalities for case in find_cases(folder).cases)
    except InputError as error:
        return parse_name(path).reason in str(error)


def scan_refused(folder: Path, path: Path) -> bool:
    try:
        for scan in find_scans([path]):
            scan.case.refuse_unclear()
    except InputError as error:
        return parse_name(path).reason in str(error)
    return False


def items_refused(folder: Path, path: Path) -> bool:
    with pytest.raises(InputError) as caught:
        inference_items(folder, ["t1"])
    return parse_name(path).reason in str(caught.value)


@pytest.mark.parametrize(
    ("word", "parts"),
    [
        ("t1c", ("t1", "c")),
        ("t1+c", ("t1", "+c")),
        ("t2f", ("t2", "f")),
        ("t1wpost", ("t1", "w", "post")),
        ("flair2t1", ("flair", "2", "t1")),
        ("t2toto", ("t2", "to", "to")),
    ],
)
def test_glued_words_fall_into_their_parts(word: str, parts: tuple[str, ...]) -> None:
    assert split_word(word) == parts


@pytest.mark.parametrize("word", ["t2dm", "t12", "flairport", "ct", "w39", "t10", "post", "brats18", ""])
def test_words_that_hold_more_than_known_parts_stay_whole(word: str) -> None:
    assert split_word(word) == (word,)


def test_words_are_in_lower_case_and_a_measure_is_a_qualifier() -> None:
    assert all(words == words.lower() for words in KINDS.values())
    assert [kind_of(word, "qualifier") for word in ("1mm", "p")] == [True, False]
