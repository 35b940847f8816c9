"""Many cases, several processes: each takes its share, and the first one writes what became of all."""

from __future__ import annotations

import datetime
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import torch.distributed as dist

from pkdr_monai.files import read_json, write_json

__all__ = ["Shard"]

PATIENCE = datetime.timedelta(days=7)  # for the others to finish their share
Item = TypeVar("Item")


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
