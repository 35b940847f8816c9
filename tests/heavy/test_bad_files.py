"""Lists, cards, records, checkpoints, archives and settings by the thousand: each is read, or refused in a sentence."""

from __future__ import annotations

import io
import json
import zipfile
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from monai.bundle import ConfigParser

from pkdr_monai.data import load_data_list, training_items
from pkdr_monai.data.entries import data_list_hash
from pkdr_monai.data.splits import SECTIONS, read_split
from pkdr_monai.networks import PatchVNet, load_weights
from pkdr_monai.packaging.archive import unpack_archive
from pkdr_monai.reporting.run import read_run
from pkdr_monai.runs.model_card import ModelCard
from pkdr_monai.workflow import check_overrides, load_configs

from ..bundle.conftest import TRAIN, Bundle
from .conftest import Inputs, bounded

TEXTS = st.one_of(st.text(max_size=12), st.sampled_from(["..", "../x", "/x", "C:\\x", "\0", "t2", "a.nii", "$exit()"]))
PLAIN = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), TEXTS),
    lambda part: st.one_of(st.lists(part, max_size=3), st.dictionaries(TEXTS, part, max_size=3)),
    max_leaves=6,
)
CARD = {
    "name": "pkdr_t2", "modalities": ["t2"], "network": {"_target_": "pkdr_monai.networks.PatchVNet", "in_channels": 1},
    "spacing": [1, 1, 1], "roi_size": [32, 32, 32], "label_scheme": "brats2018", "training_data": None,
    "evaluation": None, "sha256": "0", "version": "0",
}  # fmt: skip
CONFIG = ConfigParser.load_config_files([str(TRAIN)])
KEYS = [
    *CONFIG,
    "loss#beta",
    "train#trainer#max_epochs",
    "network_def#init_filters",
    "optimizer#lr",
    "train#handlers#0",
]


@st.composite
def _changed(draw: st.DrawFn, content: Any) -> Any:
    """Plain data with one place somewhere in it changed or removed."""
    if isinstance(content, dict) and content and draw(st.integers(0, 5)):
        key = draw(st.sampled_from(sorted(content)))
        if draw(st.integers(0, 7)) == 0:
            return {name: value for name, value in content.items() if name != key}
        return {**content, key: draw(_changed(content[key]))}
    if isinstance(content, list) and content and draw(st.integers(0, 5)):
        place = draw(st.integers(0, len(content) - 1))
        return [*content[:place], draw(_changed(content[place])), *content[place + 1 :]]
    return draw(PLAIN)


def _damage(content: bytes, flips: list[tuple[int, int]], kind: int, ends: tuple[int, int]) -> bytes:
    """Return bytes with a few of them changed, and perhaps a piece of them cut off or out."""
    damaged = bytearray(content)
    for place, value in flips:
        damaged[place % len(damaged)] = value
    first, last = sorted(end % (len(damaged) + 1) for end in ends)
    return bytes({0: damaged[:last], 1: damaged[first:], 2: damaged[:first] + damaged[last:]}.get(kind, damaged))


PLACE = st.integers(0, 2**20)
DAMAGE = st.tuples(
    st.lists(st.tuples(PLACE, st.integers(0, 255)), max_size=4), st.integers(0, 5), st.tuples(PLACE, PLACE)
)


def _zip() -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        for name in ("name/LICENSE", "name/configs/train.json", "name/models/"):
            archive.writestr(name, b"" if name.endswith("/") else b"content " * 9)
    return file.getvalue()


def _weights() -> bytes:
    file = io.BytesIO()
    torch.save(PatchVNet(1, init_filters=1).state_dict(), file)
    return file.getvalue()


ZIP, WEIGHTS, NETWORK = _zip(), _weights(), PatchVNet(1, init_filters=1)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("files")


@bounded(1000)
@given(data=st.data())
def test_data_lists(bundle: Bundle, folder: Path, inputs: Inputs, data: st.DataObject) -> None:
    content = data.draw(_changed(json.loads(bundle.data_list.read_text())))
    if isinstance(content, dict) and data.draw(st.integers(0, 9)):
        content = {**content, "hash": data_list_hash(content)}  # as whoever means harm would
    (folder / "list.json").write_text(json.dumps(content))

    def read() -> None:
        data_list = load_data_list(folder / "list.json")
        for section in SECTIONS:
            for item in training_items(data_list, bundle.cohort, section):
                assert all(Path(path).resolve().is_relative_to(bundle.cohort) for path in item["image"])

    inputs.try_out("data lists", read)


@bounded(700)
@given(data=st.data())
def test_cards_and_divisions_and_records(folder: Path, inputs: Inputs, data: st.DataObject) -> None:
    split = {"train": ["a", "b"], "val": ["c"], "test": []}
    name, content = data.draw(st.sampled_from([("model", CARD), ("split", split), ("run", {"settings": CARD})]))
    text = json.dumps(data.draw(_changed(content))).encode()
    path = folder / "run" / f"{name}.json"
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(_damage(text, *data.draw(DAMAGE)) if data.draw(st.booleans()) else text)
    read = {
        "model": lambda: ModelCard.read(path),
        "split": lambda: read_split(path, ["a", "b", "c"]),
        "run": lambda: read_run(path.parent),
    }[name]
    inputs.try_out(f"{name}.json", read)


@bounded(300)
@given(text=st.one_of(st.text(max_size=60), PLAIN.map(json.dumps)), ending=st.sampled_from([".yaml", ".json"]))
def test_overlays(folder: Path, inputs: Inputs, text: str, ending: str) -> None:
    path = folder / f"overlay{ending}"
    path.write_text(text, encoding="utf-8")
    inputs.try_out("overlays", lambda: load_configs([TRAIN, path]))


@bounded(500)
@given(
    key=st.one_of(st.sampled_from(KEYS), st.text(max_size=20)), value=PLAIN, more=st.sampled_from(["", "#", "#0", "x"])
)
def test_overrides(inputs: Inputs, key: str, value: Any, more: str) -> None:
    inputs.try_out("overrides", lambda: check_overrides(CONFIG, {key + more: value}))


@bounded(400)
@given(damage=DAMAGE)
def test_archives(tmp_path_factory: pytest.TempPathFactory, inputs: Inputs, damage: tuple) -> None:
    folder = tmp_path_factory.mktemp("zip")
    (folder / "a.zip").write_bytes(_damage(ZIP, *damage))
    inputs.try_out("archives", lambda: unpack_archive(folder / "a.zip", folder / "in" / "out"))
    assert {path.name for path in folder.iterdir()} <= {"a.zip", "in"}
    assert not (folder / "in").exists() or {path.name for path in (folder / "in").iterdir()} <= {"out"}


@bounded(500)
@given(damage=DAMAGE)
def test_checkpoints(folder: Path, inputs: Inputs, damage: tuple) -> None:
    (folder / "model.pt").write_bytes(_damage(WEIGHTS, *damage))
    inputs.try_out("checkpoints", lambda: load_weights(NETWORK, folder / "model.pt"))
