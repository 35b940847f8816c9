from __future__ import annotations

import json
from pathlib import Path

import pytest

from pkdr_monai.errors import InputError
from pkdr_monai.packaging.verify import REQUIRED, check_metadata

from .conftest import SOURCE

METADATA = SOURCE / "configs" / "metadata.json"


@pytest.fixture
def schema(tmp_path: Path) -> Path:
    """A schema that asks for what MONAI's does, as far as the required keys go."""
    kinds = {key: {"type": "string" if kind is str else "object"} for key, kind in REQUIRED.items()}
    path = tmp_path / "schema.json"
    path.write_text(json.dumps({"type": "object", "properties": kinds, "required": list(REQUIRED)}))
    return path


def _changed(folder: Path, **changes: object) -> Path:
    content = {**json.loads(METADATA.read_text()), **changes}
    path = folder / "metadata.json"
    path.write_text(json.dumps({key: value for key, value in content.items() if value is not None}))
    return path


def test_the_bundles_own_metadata_passes(schema: Path) -> None:
    assert "with --schema" in check_metadata(METADATA)
    assert check_metadata(METADATA, schema) == "keeps the schema schema.json"


@pytest.mark.parametrize("key", REQUIRED)
def test_a_required_key_that_is_missing_or_of_another_kind_is_refused(key: str, tmp_path: Path, schema: Path) -> None:
    for value in (None, 1):
        path = _changed(tmp_path, **{key: value})
        with pytest.raises(InputError, match=f"under '{key}'"):
            check_metadata(path)
        if key != "schema":
            with pytest.raises(InputError, match="does not keep the schema"):
                check_metadata(path, schema)


def test_an_input_that_is_not_described_is_refused(tmp_path: Path) -> None:
    path = _changed(tmp_path, network_data_format={"inputs": {"image": {"type": "image"}}, "outputs": {}})
    with pytest.raises(InputError, match="expected 'format' in network_data_format/inputs/image"):
        check_metadata(path)


def test_a_schema_that_is_absent_is_not_downloaded(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="cannot read"):
        check_metadata(METADATA, tmp_path / "none.json")


@pytest.mark.real
def test_what_is_looked_for_without_the_schema_is_what_it_requires(real_data: Path) -> None:
    schema = real_data.parent / "meta_schema_20240725.json"
    content = json.loads(schema.read_text())
    assert list(REQUIRED) == [*content["required"][:2], "changelog", *content["required"][2:]]
    assert check_metadata(METADATA, schema)
