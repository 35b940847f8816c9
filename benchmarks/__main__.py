"""Run all benchmarks, or those named: ``python -m benchmarks [losses] [data_path]``."""

from __future__ import annotations

import argparse
import os
import platform
import sys
import time
from pathlib import Path

import monai
import torch

from benchmarks import data_path, distillation_step, inference, losses, training_step

BENCHMARKS = {
    "losses": losses.run,
    "distillation_step": distillation_step.run,
    "training_step": training_step.run,
    "data_path": data_path.run,
    "inference": inference.run,
}


def main() -> None:
    """Read the command line, say what is measured on, and measure."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("names", nargs="*", metavar="benchmark", help=f"any of: {', '.join(BENCHMARKS)}")
    parser.add_argument("--rounds", type=int, default=5, help="times that each is measured (%(default)s)")
    parser.add_argument("--threads", type=int, default=0, help="threads of torch; by default as many as it takes")
    arguments = parser.parse_args()
    unknown = sorted(set(arguments.names) - set(BENCHMARKS))
    if unknown:
        parser.error(f"no benchmark {unknown[0]!r}: choose among {', '.join(BENCHMARKS)}")
    if arguments.threads:
        os.environ["OMP_NUM_THREADS"] = str(arguments.threads)  # for the processes that measure memory
        torch.set_num_threads(arguments.threads)
    start = time.perf_counter()
    print(f"{_processor()}, {os.cpu_count()} cores, {torch.get_num_threads()} threads of torch")
    print(f"torch {torch.__version__}, monai {monai.__version__}, python {platform.python_version()}, {sys.platform}")
    for name in arguments.names or BENCHMARKS:
        BENCHMARKS[name](arguments.rounds)
    print(
        f"\n{time.perf_counter() - start:.0f} s in all. 'disturbed': other processes were busy in the rounds counted."
    )


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        return next(line.split(":", 1)[1].strip() for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):
        return platform.processor() or platform.machine()


if __name__ == "__main__":
    main()
