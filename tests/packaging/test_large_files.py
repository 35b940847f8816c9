from __future__ import annotations

from pathlib import Path

import pytest

from pkdr_monai.errors import InputError
from pkdr_monai.files import file_hash
from pkdr_monai.packaging.archive import large_files_page, read_large_files


def test_what_is_written_is_read(tmp_path: Path) -> None:
    weights = tmp_path / "model.pt"
    weights.write_bytes(b"weights")
    page = large_files_page({"models/model.pt": weights}, "https://example.org/weights/")
    (tmp_path / "large_files.yml").write_text(page)
    assert read_large_files(tmp_path) == {
        "models/model.pt": {
            "path": "models/model.pt",
            "url": "https://example.org/weights/model.pt",
            "hash_val": file_hash(weights),
            "hash_type": "sha256",
        }
    }


def test_a_bundle_without_the_page_hosts_nothing(tmp_path: Path) -> None:
    assert read_large_files(tmp_path) == {}


def test_a_url_that_monai_does_not_download_from_is_refused() -> None:
    with pytest.raises(InputError, match="expected the URL of a folder"):
        large_files_page({}, "weights")


@pytest.mark.parametrize(
    ("page", "words"),
    [
        ("large_files: [}", "is not valid YAML"),
        ("[]", "is not as MONAI reads it"),
        ("large_files:\n- {path: a}\n", "is not as MONAI reads it"),
        ("large_files:\n- {path: ../a, url: u, hash_val: h, hash_type: sha256}\n", "lies outside the bundle"),
    ],
)
def test_a_page_that_is_not_as_monai_reads_it_is_refused(page: str, words: str, tmp_path: Path) -> None:
    (tmp_path / "large_files.yml").write_text(page)
    with pytest.raises(InputError, match=words):
        read_large_files(tmp_path)
