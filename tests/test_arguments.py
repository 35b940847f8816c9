from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from pkdr_monai.arguments import integer, names, number, switch, triple
from pkdr_monai.errors import InputError


def test_names_stay_text_and_lose_blanks() -> None:
    assert names("001,1e5 , True,") == ("001", "1e5", "True")
    assert names("") == ()


@pytest.mark.parametrize(
    ("read", "text"),
    [
        (integer, "many"),
        (integer, "1.5"),
        (number, "half"),
        (switch, "perhaps"),
        (triple(int), "1,2"),
        (triple(int), "1.5"),
        (triple(float), "1,0,1"),
        (triple(float), ""),
    ],
)
def test_text_that_does_not_fit_is_refused_and_quoted(read: Callable[[str], Any], text: str) -> None:
    with pytest.raises(InputError, match=f"expected .* got '{text}'"):
        read(text)
