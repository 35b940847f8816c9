from __future__ import annotations

import pytest

from pkdr_monai.data.words import KINDS, kind_of, split_word


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
