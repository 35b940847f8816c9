"""Find trained models by their cards, and choose which of them segment a scan."""

from __future__ import annotations

import os
import shutil
import sysconfig
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pkdr_monai
from pkdr_monai.errors import InputError
from pkdr_monai.files import atomic_write
from pkdr_monai.modalities import MODALITIES
from pkdr_monai.runs.model_card import ModelCard, card_path

__all__ = [
    "choose_models",
    "default_folders",
    "find_models",
    "list_models",
    "read_model",
    "replace_model",
    "settings_beside",
    "weights_folder",
]

SHARED = ("share", "pkdr_monai", "models")  # where a wheel puts the weights, below the environment's data folder
DEPTH = 4  # levels of folders to look into, so that a slip does not walk a whole disk
CARD, WEIGHTS = "model.json", "model.pt"
HOW_TO_GET_ONE = (
    "train one (`make demo-training` trains on synthetic cases), or name a folder that holds one with --models"
)


def default_folders() -> list[Path]:
    """Return where models are looked for.

    They are the weights that come with the package (in a checkout ``bundle/models``, in an unpacked bundle ``models``,
    with a wheel ``share/pkdr_monai/models`` of its environment), then ``runs/`` and ``demo/runs/`` here.
    """
    return [*_shipped_folders(), Path("runs"), Path("demo", "runs")]


def find_models(folders: Sequence[str | Path] = ()) -> list[ModelCard]:
    """Find the models below some folders, such as ``runs/`` or an unpacked bundle.

    Args:
        folders: where to look; none for :func:`default_folders`.

    Returns:
        Their cards, by name.

    Raises:
        InputError: when there is no model, or a card cannot be read.
    """
    searched = [Path(folder) for folder in folders] or default_folders()
    cards = list_models(searched if folders else [folder for folder in searched if folder.is_dir()])
    if not cards:
        files = (path for folder in searched for path in _files(folder))
        looked = ", ".join(map(str, searched))
        bare = next((path for path in files if path.name == WEIGHTS), None)
        if bare is not None:
            raise InputError(
                f"{bare} has no {CARD} beside it: evaluate it (bundle/configs/evaluate.json) to write one."
            )
        raise InputError(f"no model found in {looked}: {HOW_TO_GET_ONE}.")
    return cards


def list_models(folders: Sequence[str | Path]) -> list[ModelCard]:
    """Return the cards below some folders, by name; there may be none.

    Raises:
        InputError: when a folder is absent, or a card cannot be read.
    """
    for folder in folders:
        if not Path(folder).is_dir():
            raise InputError(f"there is no folder {folder} to look for models in: check --models.")
    files = [path for folder in folders for path in _files(Path(folder))]
    cards = [ModelCard.read(path) for path in dict.fromkeys(files) if path.name == CARD]
    return sorted(cards, key=lambda card: card.name)


def read_model(path: str | Path) -> ModelCard:
    """Read the card of one model: of ``model.pt``, ``model.json``, or the folder of a run.

    Raises:
        InputError: when there is none, or more than one.
    """
    path = Path(path)
    if path.is_dir():
        cards = find_models([path])
        if len(cards) > 1:
            raise InputError(f"{path} holds {len(cards)} models, {_listed(cards)}: name the {WEIGHTS} of one.")
        return cards[0]
    if not path.exists():
        raise InputError(f"there is no checkpoint at {path}: train one first, or check --model.")
    if not card_path(path).exists():
        raise InputError(f"{path} has no {card_path(path).name} beside it, which says what it is: evaluate it first.")
    return ModelCard.read(card_path(path))


def choose_models(cards: Sequence[ModelCard], modalities: Sequence[str], use: str = "best") -> list[ModelCard]:
    """Choose the models that segment a scan.

    A network for any subset is given all the modalities at hand that it knows. A model that sees all of them comes
    first. Among equals, one that was evaluated on patients goes before one that was evaluated on synthetic cases, then
    the mean Dice of their own evaluations decides, then their names; a model that was never evaluated comes last.

    Args:
        cards: the models there are.
        modalities: the modalities at hand.
        use: ``"best"`` for one model, ``"all"`` for all students, the best for each set of modalities.

    Raises:
        InputError: when no model does with these modalities.
    """
    fitting = [fit for card in cards if (fit := _fitted(card, modalities)) is not None]
    if not fitting:
        raise InputError(
            f"no model segments from {', '.join(modalities)} alone: found {_listed(cards)}; "
            "take another --models folder, or add the modality that a model needs."
        )
    ranked = sorted(fitting, key=lambda card: _rank(card, modalities))
    if use == "best":
        return ranked[:1]
    students = {card.modalities: card for card in reversed(ranked) if card.modalities != MODALITIES}
    return sorted(students.values(), key=lambda card: _rank(card, modalities)) or ranked[:1]


def weights_folder(bundle_root: str | Path) -> str:
    """Return the folder that a bundle's weights are read from when no other is named.

    That is ``models`` of the bundle where it holds weights, and otherwise the folder of the weights that come with the
    package, so that a command typed in a checkout finds them.
    """
    own = Path(bundle_root) / "models"
    places = [own, *_shipped_folders()]
    return str(next((place for place in places if (place / WEIGHTS).is_file()), own))


def settings_beside(checkpoint: str | Path) -> dict[str, Any]:
    """Return what preprocessing and network have to be for a checkpoint, as the card beside it says.

    Args:
        checkpoint: file of the weights; without a card beside it, the settings are those of ``train.json``.

    Returns:
        ``spacing`` in mm, ``roi_size`` in voxels, ``init_filters`` and ``norm``.

    Raises:
        InputError: when the card cannot be read.

    Example:
        >>> settings_beside("runs/nowhere/model.pt")["spacing"]
        [1.0, 1.0, 1.0]
    """
    settings: dict[str, Any] = {"spacing": [1.0, 1.0, 1.0], "roi_size": [128, 128, 96]}
    settings |= {"init_filters": 16, "norm": "batch"}
    if card_path(checkpoint).is_file():
        card = ModelCard.read(card_path(checkpoint))
        settings |= {"spacing": list(card.spacing), "roi_size": list(card.roi_size)}
        settings |= {name: card.network.get(name, settings[name]) for name in ("init_filters", "norm")}
    return settings


def replace_model(folder: str | Path, trained: str | Path) -> None:
    """Put the weights of a training, with their card, in the place of a model that a server offers.

    Args:
        folder: the ``models`` of the bundle that the server reads.
        trained: the ``models`` of the training's run.

    Raises:
        InputError: when the run has no weights or no card.
    """
    read_model(Path(trained) / WEIGHTS)
    for name in (WEIGHTS, CARD):
        with (Path(trained) / name).open("rb") as source, atomic_write(Path(folder) / name) as target:
            shutil.copyfileobj(source, target)


def _shipped_folders() -> list[Path]:
    root = Path(pkdr_monai.__file__).parent.parent
    return [root / "bundle" / "models", root / "models", Path(sysconfig.get_path("data"), *SHARED)]


def _fitted(card: ModelCard, modalities: Sequence[str]) -> ModelCard | None:
    """Return the card as it is given these modalities, or ``None`` where they are not enough for it."""
    if card.any_subset:
        known = [modality for modality in card.network["modalities"] if modality in modalities]
        return card.seeing(known) if known else None
    return card if set(card.modalities) <= set(modalities) else None


def _rank(card: ModelCard, modalities: Sequence[str]) -> tuple[bool, bool, float, str]:
    dice = card.expected_dice
    on_patients = card.evaluation is not None and not card.evaluation.data.get("synthetic")
    return set(card.modalities) != set(modalities), not on_patients, 1.0 if dice is None else -dice, card.name


def _listed(cards: Sequence[ModelCard]) -> str:
    return ", ".join(f"{card.name} (sees {', '.join(card.modalities)})" for card in cards)


def _files(folder: Path) -> Iterator[Path]:
    for parent, folders, files in os.walk(folder, followlinks=True):
        depth = len(Path(parent).relative_to(folder).parts)
        folders[:] = sorted(folders) if depth < DEPTH else []
        yield from (Path(parent, name) for name in (CARD, WEIGHTS) if name in files)
