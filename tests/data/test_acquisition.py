"""What headers say of a modality, what is left out, and what is only uncertain."""

from __future__ import annotations

from dataclasses import replace

import pytest

from pkdr_monai.data.acquisition import Facts, judge_series, judge_study

SE = Facts(scanning=("SE",), image_type=("ORIGINAL", "PRIMARY", "M"))
T1, T2 = replace(SE, te=(12.0,), tr=500.0), replace(SE, te=(98.0,), tr=4500.0)
FLAIR = replace(SE, scanning=("SE", "IR"), te=(120.0,), tr=9000.0, ti=2500.0)
MPRAGE = replace(SE, scanning=("GR", "IR"), variant=("SK", "SP", "MP"), te=(2.3,), tr=1900.0, ti=900.0)
SPGR = replace(SE, scanning=("GR",), variant=("SS", "SP"), te=(3.0,), tr=8.0)


@pytest.mark.parametrize(
    ("facts", "modality"),
    [
        (T2, "t2"),
        (FLAIR, "flair"),
        (replace(FLAIR, te=(388.0,), ti=1800.0, description="t2_space_dark-fluid_sag"), "flair"),  # 3-D
        (replace(T1, agent="gadobutrol"), "t1ce"),
        (replace(MPRAGE, agent="gadobutrol", description="t1_mprage"), "t1ce"),
        (replace(MPRAGE, description="T1 MPRAGE +C"), "t1ce"),
        (replace(T1, agent=""), "t1"),
        (replace(MPRAGE, description="SAG 3D T1 PRE"), "t1"),
        (replace(SE, te=(30.0,), tr=2000.0, ti=860.0, agent="", description="Ax T1 FLAIR"), None),  # GE: name says both
        (replace(SE, te=(98.0,), tr=4500.0, contrast="T2"), "t2"),
    ],
)
def test_sound_headers_are_certain(facts: Facts, modality: str | None) -> None:
    (judged,) = judge_study([facts])
    if modality is None:
        assert not judged.certain or judged.modality == "t1"
        return
    assert (judged.modality, judged.certain, judged.excluded) == (modality, True, False)
    assert judged.reasons


@pytest.mark.parametrize(
    ("facts", "modality", "reason"),
    [
        (T1, "t1", "no header says whether a contrast agent was given"),
        (replace(T1, description="AX T1"), "t1", "no header says whether a contrast agent was given"),
        (replace(T2, description="AX FLAIR"), "t2", "contradict"),
        (replace(FLAIR, description="AX T1"), "flair", "contradict"),
        (replace(SE, description="AX T2"), "t2", "times do not confirm it"),
        (SE, None, "neither times nor description"),
        (replace(T1, agent="gadobutrol", description="T1 pre"), "t1", "names a contrast agent"),
        (replace(T1, agent="", description="T1 +C"), "t1ce", "no contrast agent was given"),
        (replace(T2, image_type=("DERIVED", "SECONDARY", "MPR")), "t2", "DERIVED/SECONDARY/MPR"),
        (replace(T2, contrast="FLUID_ATTENUATED"), None, "contradicts"),
        (replace(SPGR, variant=("SS",)), None, "neither"),
        (replace(SE, te=(60.0,), tr=1500.0), None, "neither"),
        (replace(FLAIR, ti=None), None, "neither"),
        (replace(FLAIR, ti=150.0), None, "neither"),  # fat suppression
    ],
)
def test_doubt_is_said_and_nothing_is_guessed(facts: Facts, modality: str | None, reason: str) -> None:
    (judged,) = judge_study([facts])
    assert (judged.modality, judged.certain, judged.excluded) == (modality, False, False)
    assert reason in "; ".join(judged.reasons)


@pytest.mark.parametrize(
    ("facts", "reason"),
    [
        (replace(T2, modality="CT"), "CT, not MR"),
        (replace(T2, sop_class="Secondary Capture Image"), "no MR image"),
        (replace(T2, image_type=("ORIGINAL", "PRIMARY", "LOCALIZER")), "localiser"),
        (replace(T2, description="3-pl loc"), "localiser"),
        (replace(T2, directions=3), "3 orientations"),
        (replace(T2, directions=0), "do not say where they lie"),
        (replace(T2, image_type=("DERIVED", "PRIMARY", "DIFFUSION", "ADC")), "derived map (ADC)"),
        (replace(T2, image_type=("ORIGINAL", "PRIMARY", "P")), "not a magnitude image"),
        (replace(T2, image_type=("ORIGINAL", "PRIMARY", "M", "NONE", "MIXED")), "not a magnitude image"),
        (replace(T2, diffusion=True), "diffusion"),
        (replace(T2, scanning=("EP",)), "echo-planar"),
        (replace(T2, description="T2* GRE"), "susceptibility"),
        (replace(T2, description="TOF 3D"), "angiography"),
        (replace(T1, description="T1 subtraction"), "subtraction"),
        (replace(T2, te=(20.0, 98.0)), "2 echo times"),
        (replace(T2, slices=3), "3 slices"),
        (replace(T2, gaps=True), "distances between its slices differ"),
        (replace(SE, te=(30.0,), tr=2500.0), "proton density"),
    ],
)
def test_what_is_none_of_the_four_is_left_out(facts: Facts, reason: str) -> None:
    judged = judge_series(facts)
    assert judged.excluded
    assert not judged.certain
    assert reason in judged.reasons[-1]


def test_a_plain_t1_is_certain_where_another_series_names_an_agent() -> None:
    plain, enhanced = judge_study([replace(T1, description="AX T1"), replace(T1, description="AX T1", agent="Gd")])
    assert (plain.modality, plain.certain) == ("t1", True)
    assert (enhanced.modality, enhanced.certain) == ("t1ce", True)
    plain, _ = judge_study([T1, replace(T1, agent="Gd")])
    assert not plain.certain  # its description says nothing
