from __future__ import annotations

import pickle
import shutil
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from pkdr_monai.errors import InputError
from pkdr_monai.packaging import build_bundle, verify, verify_bundle

from .conftest import CHECK_SHAPE, NAME, SOURCE


@pytest.fixture
def without_network(monkeypatch: pytest.MonkeyPatch) -> None:
    """The checks that need processes of their own are tested with network_check."""
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
