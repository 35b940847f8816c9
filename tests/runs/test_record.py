"""What a record says of a run."""

from __future__ import annotations

from pathlib import Path

import pytest

from pkdr_monai.errors import InputError
from pkdr_monai.runs.record import recorded_input


def test_what_a_record_says_of_the_input_is_numbers_and_names_whoever_wrote_it(tmp_path: Path) -> None:
    sound = {"modalities": ["t2"], "spacing": [1, 1, 1], "roi_size": [32, 32, 32]}
    assert recorded_input(tmp_path, sound) == (("t2",), [1.0, 1.0, 1.0], [32, 32, 32])
    for key, value in {
        "modalities": "$exit()",
        "spacing": ["$exit()"],
        "roi_size": {"_target_": "os.system", "command": "true"},
    }.items():
        with pytest.raises(InputError, match="does not tell what the network sees"):
            recorded_input(tmp_path, {**sound, key: value})
    with pytest.raises(InputError, match="does not tell modalities, spacing, roi_size"):
        recorded_input(tmp_path, {})
