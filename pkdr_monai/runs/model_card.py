"""What a trained model says of itself: ``model.json`` beside ``model.pt``, for the programs that run it."""

from __future__ import annotations

import re
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from pkdr_monai import DISCLAIMER, __version__
from pkdr_monai.errors import InputError
from pkdr_monai.files import file_hash, read_json, write_json
from pkdr_monai.modalities import parse_modalities
from pkdr_monai.regions import REGIONS, scheme_labels

__all__ = ["Evaluation", "ModelCard", "card_path", "data_source"]

SYNTHETIC_PREFIX = "Phantom"  # of the names that `pkdr data demo` gives
EXPRESSION = ("$", "@", "%")  # how MONAI's configs mark what they evaluate
TRAINING_ONLY = ("modality_dropout", "single_share")  # arguments of networks for any subset
WRITE_IT = "A training writes it; an evaluation (bundle/configs/evaluate.json) writes it again."


@dataclass(frozen=True)
class Evaluation:
    """How well a model did on cases whose truth is known.

    Args:
        data: which cases, as :func:`data_source` says it.
        section: part of their data list: ``"test"``, ``"validation"`` or ``"training"``.
        cases: how many.
        mean: mean Dice of each region.
        deviation: standard deviation of the Dice between cases, by region; ``None`` for a single case.
    """

    data: dict[str, Any]
    section: str
    cases: int
    mean: dict[str, float]
    deviation: dict[str, float | None]

    @classmethod
    def of_scores(cls, scores: Sequence[Sequence[float]], data: Mapping[str, Any], section: str) -> Evaluation:
        """Sum up the Dice of each case, ``(cases, 3)``, in the order of :data:`~pkdr_monai.regions.REGIONS`.

        Example:
            >>> evaluation = Evaluation.of_scores([[0.5, 0.8, 0.2], [0.7, 0.8, 0.4]], {}, "test")
            >>> round(evaluation.mean["tc"], 3), evaluation.cases
            (0.6, 2)
        """
        columns = {region: [float(case[channel]) for case in scores] for channel, region in enumerate(REGIONS)}
        several = len(scores) > 1
        return cls(
            data=dict(data),
            section=section,
            cases=len(scores),
            mean={region: statistics.fmean(column) for region, column in columns.items()},
            deviation={region: statistics.stdev(column) if several else None for region, column in columns.items()},
        )


@dataclass(frozen=True)
class ModelCard:
    """All that running a model needs besides its weights, and what to expect of it.

    Args:
        name: name of its run.
        modalities: what it sees, in the project's order.
        network: its class and constructor arguments, as
            :func:`~pkdr_monai.networks.weights.describe_network` writes them.
        spacing: voxel size that it works in, mm.
        roi_size: window that it was trained on, voxels.
        label_scheme: scheme of the labels that it learnt from.
        training_data: what it was trained on, as :func:`data_source` says it; ``None`` where that is unknown.
        evaluation: the last evaluation, or ``None``.
        subsets: evaluations of a network for any subset of its modalities, by the subset: ``"t1+flair"``.
        sha256: hash of the weights' file; ``None`` until they are written.
        version: version of this package that wrote the card.
        weights: file of the weights, where the card was read from a disk.

    Raises:
        InputError: when a modality or the label scheme is unknown, or the name is none.
    """

    name: str
    modalities: tuple[str, ...]
    network: dict[str, Any]
    spacing: tuple[float, ...]
    roi_size: tuple[int, ...]
    label_scheme: str = "brats2018"
    training_data: dict[str, Any] | None = None
    evaluation: Evaluation | None = None
    subsets: dict[str, Evaluation] = field(default_factory=dict)
    sha256: str | None = None
    version: str = __version__
    weights: Path | None = field(default=None, compare=False)

    def __post_init__(self) -> None:
        for name, value in {
            "modalities": parse_modalities(self.modalities),
            "spacing": tuple(float(side) for side in self.spacing),
            "roi_size": tuple(int(side) for side in self.roi_size),
        }.items():
            object.__setattr__(self, name, value)
        scheme_labels(self.label_scheme)
        if not re.fullmatch(r"\w[^\x00-\x1f\x7f]*", self.name):  # a config would run what begins with $ as code
            raise InputError(f"the name of a model begins with a letter or a digit, not as {self.name!r} does.")

    @property
    def synthetic(self) -> bool:
        """Whether it learnt from synthetic patients alone."""
        return bool(self.training_data and self.training_data.get("synthetic"))

    @property
    def demonstration(self) -> bool:
        """Whether it learnt from synthetic patients and was not evaluated on real ones: nothing holds for a patient."""
        found = [evaluation for evaluation in (self.evaluation, *self.subsets.values()) if evaluation is not None]
        return self.synthetic and all(evaluation.data.get("synthetic") for evaluation in found)

    @property
    def expected_dice(self) -> float | None:
        """Mean Dice over the regions in its own evaluation, or ``None`` without one."""
        return None if self.evaluation is None else statistics.fmean(self.evaluation.mean.values())

    @property
    def any_subset(self) -> bool:
        """Whether one set of weights segments from any non-empty subset of its modalities."""
        return "available" in self.network

    def seeing(self, modalities: Sequence[str]) -> ModelCard:
        """Return the card of the same weights given a subset of their modalities, with what to expect of it then.

        Raises:
            InputError: when the network needs all its modalities, or knows none of that name.
        """
        chosen = parse_modalities(modalities)
        if not self.any_subset or not set(chosen) <= set(self.network["modalities"]):
            raise InputError(f"model {self.name} segments from {', '.join(self.modalities)}, not {', '.join(chosen)}.")
        network = self.network | {"available": list(chosen)}
        return replace(self, modalities=chosen, network=network, evaluation=self.subsets.get("+".join(chosen)))

    def evaluated(self, evaluation: Evaluation, modalities: Sequence[str] | None = None) -> ModelCard:
        """Return the card with an evaluation, of a subset of the modalities where the network serves any."""
        chosen = self.modalities if modalities is None else parse_modalities(modalities)
        if not self.any_subset:
            return replace(self, evaluation=evaluation)
        whole = chosen == parse_modalities(self.network["modalities"])
        return replace(
            self,
            evaluation=evaluation if whole else self.evaluation,
            subsets=self.subsets | {"+".join(chosen): evaluation},
        )

    def same_model(self, other: ModelCard) -> bool:
        """Whether both cards are of one network with one preprocessing, whatever subset of modalities it is given."""
        if self.any_subset and other.any_subset:
            return self.spacing == other.spacing and _without_subset(self.network) == _without_subset(other.network)
        facts = ("modalities", "network", "spacing")
        return all(getattr(self, fact) == getattr(other, fact) for fact in facts)

    def with_weights(self, weights: Path) -> ModelCard:
        """Return the card of the weights in a file."""
        return replace(self, sha256=file_hash(weights), weights=weights)

    def write(self) -> Path:
        """Write the card beside its weights, atomically, and return where."""
        if self.weights is None:
            raise ValueError("a card without weights has no place to be written to: call with_weights first.")
        content = {key: value for key, value in asdict(self).items() if key != "weights"}
        write_json(card_path(self.weights), content | {"note": DISCLAIMER})
        return card_path(self.weights)

    @classmethod
    def read(cls, path: Path) -> ModelCard:
        """Read ``model.json``; its weights are the file of the same name that ends in ``.pt``.

        Raises:
            InputError: when the file is no card.
        """
        content = read_json(path)
        try:
            content = {"subsets": {}} | content  # cards of version 0.1.0 have none
            facts = {name: content[name] for name in cls.__dataclass_fields__ if name != "weights"}
            _refuse_code(facts["network"])
            facts["evaluation"] = Evaluation(**facts["evaluation"]) if facts["evaluation"] else None
            facts["subsets"] = {subset: Evaluation(**found) for subset, found in facts["subsets"].items()}
            return cls(**facts, weights=path.with_suffix(".pt"))
        except InputError as error:
            raise InputError(f"{path}: {error}") from error
        except (KeyError, TypeError, ValueError) as error:
            raise InputError(f"{path} is not a valid model card: {error}. {WRITE_IT}") from error


def card_path(weights: str | Path) -> Path:
    """Return where the card of a file of weights lies: ``model.json`` for ``model.pt``."""
    return Path(weights).with_suffix(".json")


def data_source(data_list: Mapping[str, Any]) -> dict[str, Any]:
    """Say which cases a data list names: ``name``, ``hash``, and whether they are ``synthetic``.

    Example:
        >>> data_source({"name": "demo", "hash": "ab", "training": [{"case": "Phantom18_0000_1"}]})
        {'name': 'demo', 'hash': 'ab', 'synthetic': True}
    """
    names = [entry["case"] for section in ("training", "validation", "test") for entry in data_list.get(section, ())]
    synthetic = any(name.startswith(SYNTHETIC_PREFIX) for name in names)
    return {"name": data_list.get("name"), "hash": data_list.get("hash"), "synthetic": synthetic}


def _without_subset(network: Mapping[str, Any]) -> dict[str, Any]:
    """Return a network's description without what depends on the subset at hand, or matters in training alone."""
    return {name: value for name, value in network.items() if name not in ("available", *TRAINING_ONLY)}


def _refuse_code(description: Any) -> None:
    """Refuse a network's description that a MONAI config would run as code: it is passed on to MONAI."""
    if not isinstance(description, Mapping) or not isinstance(description.get("_target_"), str):
        raise InputError("expected a network's class (_target_) and arguments.")
    for name, value in description.items():
        if name.startswith("_") and name != "_target_":
            raise InputError(f"its network has {name}, which a config would act upon: it was refused.")
        for part in value if isinstance(value, list) else [value]:
            if isinstance(part, Mapping):
                _refuse_code(part)
            elif isinstance(part, str) and part.startswith(EXPRESSION):
                raise InputError(f"its network has {part!r}, which a config would run as code: it was refused.")
