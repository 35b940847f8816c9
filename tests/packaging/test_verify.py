"""What is wrong with a bundle is found before somebody uses it."""

from __future__ import annotations

import json
import pickle
import shutil
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from pkdr_monai.errors import InputError
from pkdr_monai.networks import PatchVNet
from pkdr_monai.packaging import build_bundle, verify, verify_bundle
from pkdr_monai.packaging.exports import export_torchscript
from pkdr_monai.packaging.verify import REQUIRED, check_metadata, check_network, check_torchscript

from .conftest import CHECK_SHAPE, NAME, SOURCE

METADATA = SOURCE / "configs" / "metadata.json"


@pytest.fixture
def without_network(monkeypatch: pytest.MonkeyPatch) -> None:
    """The checks that need processes of their own are tested on their own."""
    for check in ("check_network", "check_torchscript"):
        monkeypatch.setattr(verify, check, lambda root: None)


def test_a_sound_zip_and_its_folder_pass(zipped: Path, unpacked: Path, without_network: None) -> None:
    for bundle in (zipped, unpacked):
        lines: list[str] = []
        verify_bundle(bundle, log=lines.append)
        checks = [line.split(":")[0] for line in lines if not line.startswith("archive")]
        assert checks == ["directory", "version", "metadata", "hub", "models", "network", "TorchScript"]


def test_a_bundle_without_weights_passes_and_says_what_was_not_checked(tmp_path: Path, without_network: None) -> None:
    shutil.copytree(SOURCE, tmp_path / "source", ignore=shutil.ignore_patterns("model.*"))
    build_bundle(tmp_path / "a.zip", NAME, tmp_path / "source")
    lines: list[str] = []
    verify_bundle(tmp_path / "a.zip", log=lines.append)
    assert lines[-1] == "TorchScript: not checked, the bundle has no weights"


def test_a_bundle_with_the_weights_of_its_source_passes(tmp_path: Path, without_network: None) -> None:
    build_bundle(tmp_path / "a.zip", NAME, SOURCE)
    verify_bundle(tmp_path / "a.zip", log=lambda line: None)


def test_hosted_weights_pass_before_and_after_their_download(
    zipped: Path, tmp_path: Path, without_network: None, torchscript_alone: None
) -> None:
    run = zipped.parent / "run"
    build_bundle(tmp_path / "a.zip", NAME, SOURCE, run, weights_url="https://example.org/w", check_shape=CHECK_SHAPE)
    lines: list[str] = []
    verify_bundle(tmp_path / "a.zip", log=lines.append)
    assert lines[-1] == "TorchScript: not checked, the weights are hosted elsewhere"
    root = verify.unpack_archive(tmp_path / "a.zip", tmp_path / "out")
    for name in ("model.pt", "model.ts"):
        shutil.copy(run / "models" / name, root / "models" / name)
    verify_bundle(root)
    torch.save({}, root / "models" / "model.pt")
    with pytest.raises(InputError, match=r"models/model\.pt is not the file that was checked"):
        verify_bundle(root)


@pytest.mark.parametrize("name", verify.NEEDED)
def test_a_file_that_is_missing_is_named(name: str, unpacked: Path) -> None:
    (unpacked / name).unlink()
    with pytest.raises(InputError, match=f"it has no {name}"):
        verify_bundle(unpacked)


def test_a_version_outside_the_changelog_is_refused(unpacked: Path, edit_json: Callable) -> None:
    path = unpacked / "configs" / "metadata.json"
    edit_json(path, lambda content: content.update(version="9.9.9"))
    with pytest.raises(InputError, match=r"version 9\.9\.9 is not in the changelog"):
        verify_bundle(unpacked)
    edit_json(path, lambda content: content["changelog"].update({"9.9.9": "new"}))
    with pytest.raises(InputError, match=r"metadata is of version 9\.9\.9, the code in pkdr_monai of 0"):
        verify_bundle(unpacked)
    edit_json(path, lambda content: content.pop("changelog"))
    with pytest.raises(InputError, match="no 'changelog'"):
        verify_bundle(unpacked)


def test_metadata_against_the_schema_is_refused(unpacked: Path, edit_json: Callable) -> None:
    edit_json(unpacked / "configs" / "metadata.json", lambda content: content.pop("authors"))
    with pytest.raises(InputError, match="'authors'"):
        verify_bundle(unpacked)


def test_weights_that_may_run_code_are_refused(unpacked: Path) -> None:
    (unpacked / "models" / "model.pt").write_bytes(pickle.dumps(Path, protocol=2))  # torch.save's own
    with pytest.raises(InputError, match="holds more than tensors"):
        verify_bundle(unpacked)


def test_a_file_that_no_build_puts_among_the_models_is_refused(unpacked: Path) -> None:
    (unpacked / "models" / "model.pkl").write_bytes(pickle.dumps([1]))
    with pytest.raises(InputError, match=r"holds models/model\.pkl, which no build puts there"):
        verify_bundle(unpacked)


@pytest.mark.parametrize("name", ["model.ts", "model.pt"])
def test_a_file_that_was_changed_since_its_check_is_refused(name: str, unpacked: Path) -> None:
    path = unpacked / "models" / name
    path.write_bytes(path.read_bytes() + b" ")
    with pytest.raises(InputError, match=f"models/{name} is not the file that was checked|damaged"):
        verify_bundle(unpacked)


def test_an_export_that_is_listed_and_absent_is_refused(unpacked: Path) -> None:
    (unpacked / "models" / "model.ts").unlink()
    with pytest.raises(InputError, match=r"has no models/model\.ts, which models/exports\.json lists"):
        verify_bundle(unpacked)


def test_exports_without_their_weights_are_refused(unpacked: Path) -> None:
    (unpacked / "models" / "model.pt").unlink()
    with pytest.raises(InputError, match="has exports and no weights"):
        verify_bundle(unpacked)


def test_compiled_code_is_refused_in_a_zip(zipped: Path, tmp_path: Path) -> None:
    path = tmp_path / "a.zip"
    shutil.copy(zipped, path)
    with zipfile.ZipFile(path, "a") as archive:
        archive.writestr(f"{NAME}/pkdr_monai/cli/commands.pyc", b"")
    with pytest.raises(InputError, match=r"holds pkdr_monai/cli/commands\.pyc, compiled code"):
        verify_bundle(path)


def test_a_second_model_at_the_top_is_refused_and_one_below_is_not(unpacked: Path, without_network: None) -> None:
    folder = unpacked / "models" / "teacher"
    folder.mkdir()
    shutil.copy(unpacked / "models" / "model.pt", folder / "model.pt")
    verify_bundle(unpacked)
    shutil.copy(folder / "model.pt", unpacked / "models" / "teacher.pt")
    with pytest.raises(InputError, match=r"MONAI Label would offer models/teacher\.pt as a model"):
        verify_bundle(unpacked)


def test_a_page_or_a_licence_that_the_hub_would_misread_is_refused(unpacked: Path) -> None:
    page = unpacked / "docs" / "README.md"
    text = page.read_text()
    page.write_text("---\nlicense: mit\n---\n" + text)
    with pytest.raises(InputError, match="has a head of its own"):
        verify_bundle(unpacked)
    page.write_text(text)
    (unpacked / "LICENSE").write_text("All rights reserved.")
    with pytest.raises(InputError, match="is not the Apache License"):
        verify_bundle(unpacked)


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


@pytest.mark.slow
def test_a_network_that_gives_other_channels_is_refused(unpacked: Path, edit_json: Callable) -> None:
    check_network(unpacked)
    path = unpacked / "configs" / "metadata.json"
    edit_json(path, lambda content: content["network_data_format"]["outputs"]["pred"].update(num_channels=4))
    with pytest.raises(InputError, match=r"verify_net_in_out refused it: ValueError: output channel number `3`"):
        check_network(unpacked)


@pytest.mark.slow
def test_the_code_that_is_checked_is_the_bundles(unpacked: Path) -> None:
    (unpacked / "pkdr_monai" / "networks" / "vnet.py").write_text("raise ImportError('the code of the bundle')\n")
    with pytest.raises(InputError, match="ImportError: the code of the bundle"):
        check_network(unpacked)


@pytest.fixture
def exported(monkeypatch: pytest.MonkeyPatch) -> None:
    """In place of MONAI's process, which takes seconds, the bundle's own TorchScript is the fresh export."""

    def export(root: Path, check: str, *words: str) -> None:
        source = root / "models" / "fresh.ts"
        Path(words[words.index("--filepath") + 1]).write_bytes(source.read_bytes())

    monkeypatch.setattr(verify, "_monai", export)


def test_a_torchscript_of_other_weights_is_refused(unpacked: Path, exported: None) -> None:
    provided = unpacked / "models" / "model.ts"
    provided.rename(unpacked / "models" / "fresh.ts")
    check_torchscript(unpacked)  # it has no other
    torch.manual_seed(1)
    export_torchscript(PatchVNet(1, init_filters=2), provided, {}, {})
    with pytest.raises(InputError, match="are not one model: their logits differ"):
        check_torchscript(unpacked)
    provided.write_bytes((unpacked / "models" / "fresh.ts").read_bytes())
    check_torchscript(unpacked)
    provided.write_bytes(b"nothing of the kind")
    with pytest.raises(InputError, match=r"model\.ts is no TorchScript of this network"):
        check_torchscript(unpacked)
