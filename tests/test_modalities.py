from __future__ import annotations

import pytest

from pkdr_monai.errors import InputError
from pkdr_monai.modalities import ALIASES, MODALITIES, channel_indices, parse_modalities


def test_every_alias_stands_for_a_modality_and_is_in_lower_case() -> None:
    assert set(ALIASES.values()) == set(MODALITIES)
    assert all(alias == alias.lower() for alias in ALIASES)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("t2", ("t2",)),
        ("all", MODALITIES),
        (["all"], MODALITIES),
        ("flair, T1", ("t1", "flair")),
        ("t1gd+t2", ("t1ce", "t2")),
        (["t2f"], ("flair",)),
    ],
)
def test_choice_is_read_in_the_projects_order(text: str | list[str], expected: tuple[str, ...]) -> None:
    assert parse_modalities(text) == expected


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("t3", "unknown modality 't3': choose among t1, t1ce, t2, flair"),
        ("", "unknown modality ''"),
        ([], "no modality given"),
        ("t1,t1n", "'t1' is named twice"),
    ],
)
def test_choice_that_makes_no_sense_is_refused(text: str | list[str], complaint: str) -> None:
    with pytest.raises(InputError, match=complaint):
        parse_modalities(text)


def test_channels_are_counted_among_what_is_available() -> None:
    assert channel_indices(["flair", "t1"]) == (3, 0)
    assert channel_indices(["flair"], available=["t1", "flair"]) == (1,)
    with pytest.raises(InputError, match="'t2' is not among the image's channels t1, flair"):
        channel_indices(["t2"], available=["t1", "flair"])
