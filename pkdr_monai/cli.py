"""The command ``pkdr``: it reads the command line, runs a verb of :mod:`pkdr_monai.commands`, and speaks plainly."""

import os
import sys
from collections.abc import Sequence

import fire

from pkdr_monai.commands.data import Data
from pkdr_monai.commands.predict import predict
from pkdr_monai.errors import BAD_INPUT_EXIT_CODE, InputError
from pkdr_monai.terminal import Plan, did_you_mean, run_plan

__all__ = ["main"]

INTERRUPTED_EXIT_CODE = 130
BROKEN_PIPE_EXIT_CODE = 141


class Commands:
    """Segment a brain tumour from one MRI sequence, taught by a network that sees four.

    For example, to write a synthetic data set, check it and divide it for training:

        pkdr data demo demo --cases 8 --shape 80,80,64 --spacing 2.5

        pkdr data check demo

        pkdr data split demo --output datalist.json
    """

    def __init__(self) -> None:
        self.data = Data()
        self.predict = predict


def main(arguments: Sequence[str] | None = None) -> None:
    """Run one command line.

    Args:
        arguments: words after ``pkdr``; those of this process by default.

    Raises:
        SystemExit: with 2 after bad input, of which one sentence tells on the standard error; 130 after Ctrl-C.
    """
    try:
        run_plan(fire.Fire(Commands(), command=arguments, name="pkdr", serialize=_silent))
        sys.stdout.flush()
    except fire.core.FireExit as stop:
        if stop.code:
            _suggest(stop.trace)
        raise
    except InputError as error:
        sys.stderr.write(f"error: {error}\n")
        raise SystemExit(BAD_INPUT_EXIT_CODE) from None
    except KeyboardInterrupt:
        sys.stderr.write("\ninterrupted\n")
        raise SystemExit(INTERRUPTED_EXIT_CODE) from None
    except BrokenPipeError:  # `pkdr ... | head`: leave nothing for Python to flush into the closed pipe
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        raise SystemExit(BROKEN_PIPE_EXIT_CODE) from None


def _suggest(trace: fire.trace.FireTrace) -> None:
    """Add to fire's complaint about an unknown word the nearest one that it knows."""
    words = trace.elements[-1].args or [""]
    near = did_you_mean(words[0], trace.GetResult())
    if near is not None:
        sys.stderr.write(f"error: {words[0]} is unknown: did you mean {near}?\n")


def _silent(result: object) -> object:
    """Let fire show the help of a group, and nothing for a verb that is about to run."""
    return None if isinstance(result, Plan) else result
