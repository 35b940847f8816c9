"""How strongly each term of the loss pulls at the student: the norm of its gradient beside the segmentation loss's.

    python experiments/gradient_shares.py runs/phantom --cell table1/pkdr --modality t2 --seed 0

For a run of ``pkdr experiment`` it takes crops of the training cases, the student as it begins and as it ended, and
prints the norm of the gradient of each weighted term with respect to the student's weights, as a ratio to the
segmentation loss's, and its direction (the cosine of both gradients). Medians over the crops.
"""

from __future__ import annotations

import argparse
import statistics
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import torch
from monai.bundle import ConfigParser
from monai.utils import set_determinism

from pkdr_monai.files import read_json
from pkdr_monai.networks import load_weights

ROOT = Path(__file__).resolve().parent.parent
TRAIN = ROOT / "bundle" / "configs" / "train.json"


def main() -> None:
    """Read the command line and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("work", type=Path, help="folder of a study: runs/NAME")
    parser.add_argument("--cell", default="table1/pkdr", help="%(default)s")
    parser.add_argument("--modality", default="t2", help="%(default)s")
    parser.add_argument("--seed", type=int, default=0, help="%(default)s")
    parser.add_argument("--batches", type=int, default=24, help="crops to look at (%(default)s batches)")
    arguments = parser.parse_args()
    name = f"{arguments.cell.replace('/', '_')}_{arguments.modality}_seed{arguments.seed}"
    (run,) = (arguments.work / "runs").glob(f"{name}_*")
    rows = {}
    for moment, weights in {"at the start": None, "at the end": run / "models" / "model_last.pt"}.items():
        content = _content(arguments, run)
        if weights is not None:
            load_weights(content("network_def"), weights)
            _load_heads(content("distiller"), run)
        rows[moment] = _shares(content, arguments.batches)
    terms = rows["at the start"]
    print("| term | " + " | ".join(f"{moment}: norm | cosine" for moment in rows) + " |")
    print("|---|" + "---|" * 2 * len(rows))
    for term in terms:
        cells = (f"{rows[moment][term][0]:.3f} | {rows[moment][term][1]:+.2f}" for moment in rows)
        print(f"| {term} | " + " | ".join(cells) + " |")


def _content(arguments: argparse.Namespace, run: Path) -> Any:
    """Return what resolves an id of the run's config."""
    overlay = ROOT / "experiments" / f"{arguments.cell}.yaml"
    parser = ConfigParser()
    parser.read_config([str(TRAIN), str(overlay), str(arguments.work / "budget.json")])
    parser.read_meta({})
    parser.update(
        {
            "dataset_dir": str(arguments.work / "data"),
            "data_list_file": str(arguments.work / "datalist.json"),
            "modality": arguments.modality,
            "teacher_checkpoint": read_json(run / "run.json")["settings"]["teacher_checkpoint"],
            "student_dtype": None,
            "teacher_dtype": None,
            "cache_rate": 0.0,
        }
    )
    set_determinism(arguments.seed)
    return parser.get_parsed_content


def _load_heads(distiller: torch.nn.Module, run: Path) -> None:
    checkpoint = torch.load(run / "models" / "checkpoint.pt", weights_only=True)
    distiller.load_state_dict(checkpoint["distiller"])


def _shares(content: Any, batches: int) -> dict[str, tuple[float, float]]:
    """Return, by term, the median ratio of the norms and the median cosine."""
    distiller, loss = content("distiller").train(), content("loss")
    parameters = list(distiller.student.parameters())
    found: dict[str, list[tuple[float, float]]] = {name: [] for name in loss.weights}
    full = dict(loss.weights)
    for batch in _batches(content, batches):
        gradients = {}
        for name, weight in full.items():
            loss.weights = {name: weight}
            value = loss(distiller(batch["image"]), batch["label"])
            parts = torch.autograd.grad(value, parameters, allow_unused=True) if value.requires_grad else ()
            gradients[name] = _flat(parts, parameters)
        reference = gradients["segmentation"]
        for name, gradient in gradients.items():
            cosine = torch.nn.functional.cosine_similarity(gradient, reference, dim=0)
            found[name].append((float(gradient.norm() / reference.norm()), float(cosine)))
    return {name: tuple(map(statistics.median, zip(*pairs, strict=True))) for name, pairs in found.items()}  # type: ignore[misc]


def _flat(gradients: Sequence[torch.Tensor | None], parameters: Sequence[torch.Tensor]) -> torch.Tensor:
    """Return gradients as one vector; a parameter that a term does not reach has zeros."""
    pairs = zip(gradients or [None] * len(parameters), parameters, strict=True)
    return torch.cat([(torch.zeros_like(p) if gradient is None else gradient).flatten() for gradient, p in pairs])


def _batches(content: Any, count: int) -> Iterator[dict[str, torch.Tensor]]:
    loader = content("train#dataloader")
    while True:
        for batch in loader:
            if count == 0:
                return
            count -= 1
            yield batch


if __name__ == "__main__":
    main()
