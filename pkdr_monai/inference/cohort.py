"""Segment one scan or a folder of them: check, choose the model, compute, write, and say what happened."""

from __future__ import annotations

import datetime
import logging
import os
import tempfile
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, TypeAlias, TypeVar

import torch
import torch.distributed as dist

from pkdr_monai.data.headers import read_once
from pkdr_monai.errors import InputError, plain_error_in
from pkdr_monai.files import FolderLock, read_json, write_json, writing_to
from pkdr_monai.inference.backends import Engine, choose_engine
from pkdr_monai.inference.predictor import Predictor, Settings, load_predictor, scan_probabilities
from pkdr_monai.inference.results import (
    RECORD,
    case_inputs,
    case_key,
    clear_results,
    finished_record,
    refuse_to_overwrite,
    remove_mark,
    write_record,
    write_results,
)
from pkdr_monai.inference.scans import Scan, check_scan, find_scans, refuse_two_candidates
from pkdr_monai.inference.statements import NOTE, bundle_command, describe_model, describe_volumes, warnings_about
from pkdr_monai.runs.model_card import ModelCard
from pkdr_monai.runs.models import choose_models, find_models, read_model
from pkdr_monai.runs.record import environment, now

__all__ = ["CaseRunner", "Shard", "predict"]

logger = logging.getLogger(__name__)

Model: TypeAlias = tuple[Path | None, tuple[str, ...]]
"""What one loaded network is: its weights and the modalities that it is given."""


def predict(
    inputs: str | Path | Sequence[str | Path] = (),
    output: str | Path = "predictions",
    *,
    named: Mapping[str, str | Path] | None = None,
    models: Sequence[str | Path] = (),
    model: str | Path | None = None,
    settings: Settings | None = None,
    device: torch.device | str | None = None,
    log: Callable[[str], None] = lambda line: None,
    progress: Callable[[int, int], None] | None = None,
) -> dict[str, Any]:
    """Segment the tumours of one scan, or of a folder of them.

    Each case gets a folder of its own below ``output``, with ``<case>_seg.nii.gz`` on the grid of its image, a preview
    and a record. A case that was done with the same image, model and settings is not done again; one that cannot be
    segmented does not stop the others. Under ``torchrun`` each process segments its share of the cases; the first one
    waits for the others, and writes and returns what became of all.

    Args:
        inputs: a folder, or files whose names say what they are; see :func:`~pkdr_monai.inference.scans.find_scans`.
        output: folder for the results.
        named: in place of ``inputs``, the files of one scan, by modality.
        models: folders to look for models in; by default the bundle's, ``runs/`` and ``demo/runs/``.
        model: the one model to use: its ``model.pt``, or the folder of its run.
        settings: how to segment; the defaults of :class:`Settings` where nothing is said.
        device: where to compute; by default a GPU where there is one.
        log: called with each line for people.
        progress: called after each case with the number of cases done and in all.

    Returns:
        What ``run.json`` in ``output`` holds: ``status`` (``"finished"``, or ``"failed"`` when a case failed), and for
        each of the ``cases`` its ``status`` (``"done"``, ``"skipped"`` or ``"failed"``), volumes, files and ``error``.

    Raises:
        InputError: when there is no scan, no model or no such device, or when ``output`` cannot be written to or
            another prediction is writing there.
    """
    started, settings, shard = now(), settings or Settings(), Shard.of_this_process()
    inputs = [inputs] if isinstance(inputs, str | Path) else list(inputs)
    found = find_scans(inputs, named)
    scans = [replace(scan, case=replace(scan.case, geometry=settings.geometry)) for scan in found]
    cards = find_models(models) if model is None else [read_model(model)]
    chosen_device = _device(device, shard)
    output = Path(output)
    _require_writable(output)
    runner = CaseRunner(output, cards, settings, chosen_device, log)
    runner.command = lambda card: bundle_command(card, inputs, named, settings, output)
    with _alone_in(output, shard):
        results = _segment_all(runner, shard.part(scans), progress)
        reports = shard.gather({"cases": results, "models": runner.models_used()}, output)
        record = {"started": started, "finished": now(), **_sum_up(reports, settings, chosen_device)}
        if shard.rank == 0:
            write_record(output / "run.json", record)
            _log_summary(log, record, output)
    return record


def _alone_in(output: Path, shard: Shard) -> AbstractContextManager[object]:
    """Keep other predictions out of a folder; the first process does it for all that share this one."""
    if shard.rank:
        return nullcontext()
    return FolderLock(
        output, f"another prediction is writing to {output}. Wait for its end, or give this one its own --output."
    )


def _segment_all(
    runner: CaseRunner, scans: Sequence[Scan], progress: Callable[[int, int], None] | None
) -> list[dict[str, Any]]:
    results = []
    for done, scan in enumerate(scans, start=1):
        results.append(runner.run(scan))
        if progress is not None:
            progress(done, len(scans))
    return results


def _sum_up(reports: Sequence[Mapping[str, Any]], settings: Settings, device: torch.device) -> dict[str, Any]:
    """Return what became of all cases, from the reports of all processes."""
    cases = Shard.whole([report["cases"] for report in reports])
    models = {
        (model["sha256"], *model["modalities"], model["engine"]): model
        for report in reports
        for model in report["models"]
    }
    counts = {status: sum(case["status"] == status for case in cases) for status in ("done", "skipped", "failed")}
    return {
        "status": "failed" if counts["failed"] else "finished",
        "settings": settings.as_dict(),
        "models": list(models.values()),
        "cases": cases,
        "summary": counts,
        "environment": environment(device),
        "note": NOTE,
    }


def _device(device: torch.device | str | None, shard: Shard) -> torch.device:
    cuda = torch.cuda.is_available()
    try:
        chosen = torch.device(device or (shard.device if cuda else "cpu"))
    except RuntimeError:
        raise InputError(f"unknown device {device!r}: choose cpu, or cuda where there is a GPU.") from None
    if chosen.type not in ("cpu", "cuda") or (chosen.type == "cuda" and not cuda):
        raise InputError(f"there is no device {chosen} here: choose cpu.")
    return chosen


def _require_writable(output: Path) -> None:
    with writing_to(output, "choose another --output"):
        output.mkdir(parents=True, exist_ok=True)
        tempfile.TemporaryFile(dir=output).close()


def _log_summary(log: Callable[[str], None], record: Mapping[str, Any], output: Path) -> None:
    counts, cases = record["summary"], record["cases"]
    log(f"{', '.join(f'{status}: {count}' for status, count in counts.items())}; results in {output}")
    for case in cases:
        if case["status"] == "failed" and len(cases) > 1:
            log(f"  failed: {case['case']}: {case['error']}")
    log(NOTE)


PATIENCE = datetime.timedelta(days=7)  # for the others to finish their share
Item = TypeVar("Item")


@dataclass
class CaseRunner:
    """Segment cases one after the other, whatever becomes of each; a case depends on no other.

    Args:
        output: folder for the results.
        cards: the models there are.
        settings: how to segment.
        device: where to compute.
        log: called with each line for people.
        command: says the bundle's own command for a model.
    """

    output: Path
    cards: Sequence[ModelCard]
    settings: Settings
    device: torch.device
    log: Callable[[str], None]
    command: Callable[[ModelCard], str] | None = None
    _engines: dict[Model, Engine] = field(default_factory=dict)
    _loaded: dict[Model, Predictor] = field(default_factory=dict)
    _introduced: dict[Model, ModelCard] = field(default_factory=dict)

    def models_used(self) -> list[dict[str, Any]]:
        """Return the models that were chosen so far, for the record."""
        return [
            {
                **{key: getattr(card, key) for key in ("name", "version", "sha256", "modalities", "synthetic")},
                "weights": str(card.weights),
                "engine": str(self._engine(card)),
                "expected_dice": None if card.evaluation is None else vars(card.evaluation),
                "warnings": warnings_about(card),
            }
            for card in self._introduced.values()
        ]

    def run(self, scan: Scan) -> dict[str, Any]:
        """Segment one case, or skip it, and return what became of it; an error is logged and returned, not raised."""
        result: dict[str, Any] = {"case": scan.name, "found": scan.modalities, "missing": scan.missing}
        try:
            return result | self._segment(scan)
        except Exception as error:  # what nobody foresaw in one case must not take the others with it
            failure = {"status": "failed", **_describe(error)}
            logger.debug("case %s", scan.name, exc_info=True)
        self.log(f"{scan.name}: FAILED: {failure['error']}")
        return result | failure

    def _segment(self, scan: Scan) -> dict[str, Any]:
        begun = time.monotonic()
        scan.case.refuse_unclear()
        missing = f"; missing: {', '.join(scan.missing)}" if scan.missing else ""
        self.log(f"{scan.name}: found {', '.join(scan.modalities)}{missing}")
        cards = choose_models(self.cards, scan.modalities, self.settings.use)
        self._introduce(cards)
        refuse_two_candidates(scan)
        seen = tuple(modality for modality in scan.modalities if any(modality in card.modalities for card in cards))
        inputs = case_inputs(scan, seen)
        key = case_key(inputs, cards, self.settings, [str(self._engine(card)) for card in cards])
        folder, scheme = self.output / scan.name, self.settings.label_scheme or cards[0].label_scheme
        record = finished_record(folder, key)
        if record is not None:
            self.log(f"{scan.name}: done before, {describe_volumes(record['volumes_ml'])}")
            known = {name: record[name] for name in ("outputs", "volumes_ml")}
            return {"status": "skipped", "label_scheme": scheme, **known}
        refuse_to_overwrite(folder, scan)
        with read_once():
            warnings = check_scan(scan, seen, self.settings.force, self.settings.strict)
            for warning in warnings:
                self.log(f"warning: {warning}")
            probabilities = scan_probabilities(scan, [self._predictor(card) for card in cards], self.settings)
            content: dict[str, Any] = {"models": [card.name for card in cards], "warnings": warnings}
            clear_results(folder)
            try:
                content |= write_results(folder, scan, probabilities, cards, self.settings)
            except InputError:
                remove_mark(folder)
                raise
        content["seconds"] = round(time.monotonic() - begun, 1)
        write_record(folder / RECORD, {"case": scan.name, "key": key, "inputs": inputs, **content, "note": NOTE})
        self.log(f"{scan.name}: {describe_volumes(content['volumes_ml'])}; {content['seconds']:g} s, in {folder}")
        return {"status": "done", "label_scheme": scheme, **content}

    def _predictor(self, card: ModelCard) -> Predictor:
        model = _model(card)
        if model not in self._loaded:
            self._loaded[model] = load_predictor(card, self._engine(card), self.device)
        return self._loaded[model]

    def _engine(self, card: ModelCard) -> Engine:
        model = _model(card)
        if model not in self._engines:
            settings = self.settings
            self._engines[model] = choose_engine(card, settings.backend, settings.precision, self.device)
        return self._engines[model]

    def _introduce(self, cards: Iterable[ModelCard]) -> None:
        """Say once of each model what it is, what to expect of it, and how to run it without this package's command."""
        for card in cards:
            if _model(card) in self._introduced:
                continue
            engine = self._engine(card)
            self._introduced[_model(card)] = card
            for line in describe_model(card):
                self.log(line)
            self.log(f"  computed by {engine}")
            for warning in warnings_about(card):
                self.log(f"  warning: {warning}")
            if self.command is not None:
                self.log(f"  by MONAI alone, in float32, the label map alone:\n    {self.command(card)}")


def _model(card: ModelCard) -> Model:
    return card.weights, card.modalities


def _describe(error: Exception) -> dict[str, str]:
    plain = plain_error_in(error)
    if plain is not None:
        return {"error": str(plain), "kind": "input"}
    return {"error": f"{type(error).__name__}: {(str(error).splitlines() or [''])[0]}", "kind": "unexpected"}


@dataclass(frozen=True)
class Shard:
    """One process's share of the cases.

    Args:
        rank: number of the process, from 0.
        count: number of processes.

    Example:
        >>> Shard(1, 3).part(["a", "b", "c", "d", "e"])
        ['b', 'e']
    """

    rank: int = 0
    count: int = 1

    @classmethod
    def of_this_process(cls) -> Shard:
        """Return the share that ``torchrun`` gives to this process; without it, everything."""
        return cls(int(os.environ.get("RANK", "0")), int(os.environ.get("WORLD_SIZE", "1")))

    @property
    def device(self) -> str:
        """The GPU of this process, where there is one for each."""
        return f"cuda:{os.environ.get('LOCAL_RANK', '0')}"

    def part(self, items: Sequence[Item]) -> list[Item]:
        """Return every ``count``-th item, so that each process gets its share of the large and of the small ones."""
        return list(items[self.rank :: self.count])

    def gather(self, report: dict[str, Any], folder: Path) -> list[dict[str, Any]]:
        """Wait for the other processes, and return the reports of all, by rank; the first process alone gets them all.

        Args:
            report: what this process has to say, as JSON holds it.
            folder: which all processes see; the reports go through files there, which are removed.
        """
        if self.count == 1:
            return [report]
        write_json(self._file(folder, self.rank), report)
        _wait_for_all()
        if self.rank:
            return [report]
        paths = [self._file(folder, rank) for rank in range(self.count)]
        reports = [read_json(path) for path in paths]
        for path in paths:
            path.unlink()
        return reports

    @staticmethod
    def whole(parts: Sequence[Sequence[Item]]) -> list[Item]:
        """Return the items in their first order, from the parts of all processes.

        Example:
            >>> Shard.whole([["a", "d"], ["b", "e"], ["c"]])
            ['a', 'b', 'c', 'd', 'e']
        """
        return [parts[index % len(parts)][index // len(parts)] for index in range(sum(map(len, parts)))]

    def _file(self, folder: Path, rank: int) -> Path:
        return folder / f".run-{rank}-of-{self.count}.json"


def _wait_for_all() -> None:
    started = not dist.is_initialized()
    if started:
        dist.init_process_group("gloo", timeout=PATIENCE)
    dist.barrier()
    if started:
        dist.destroy_process_group()
