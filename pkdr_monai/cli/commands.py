"""The command ``pkdr``: it reads a command line and runs it; an error of the user is one sentence."""

import inspect
import os
import sys
from collections.abc import Sequence

import fire

from pkdr_monai.cli.bundle import Bundle
from pkdr_monai.cli.data import Data
from pkdr_monai.cli.evaluate import evaluate
from pkdr_monai.cli.experiment import Experiment
from pkdr_monai.cli.info import info
from pkdr_monai.cli.predict import predict
from pkdr_monai.cli.prepare import prepare
from pkdr_monai.cli.report import report
from pkdr_monai.cli.score import score
from pkdr_monai.cli.train import train
from pkdr_monai.errors import INTERRUPTED_EXIT_CODE, describe_interruption, plain_error_in, replace_unwritable
from pkdr_monai.terminal import Plan, did_you_mean, run_plan, settle_switches

__all__ = ["main"]

BROKEN_PIPE_EXIT_CODE = 141


class Commands:
    """Segment a brain tumour from one MRI modality, taught by a network that sees four.

    For example, to write a synthetic data set, check it and divide it for training:

        pkdr data demo synthetic --cases 8 --shape 80,80,64 --spacing 2.5

        pkdr data check synthetic

        pkdr data split synthetic --output datalist.json
    """

    def __init__(self) -> None:
        self.bundle = Bundle()
        self.data = Data()
        self.evaluate = evaluate
        self.experiment = Experiment()
        self.info = info
        self.predict = predict
        self.prepare = prepare
        self.report = report
        self.score = score
        self.train = train


def main(arguments: Sequence[str] | None = None) -> None:
    """Run one command line.

    Args:
        arguments: words after ``pkdr``; those of this process by default.

    Raises:
        SystemExit: with 2 after bad input and 1 after a run that could not continue, with one sentence on the
            standard error; 130 after Ctrl-C.
    """
    replace_unwritable()
    words = sys.argv[1:] if arguments is None else arguments
    try:
        commands = Commands()
        run_plan(fire.Fire(commands, command=settle_switches(words, commands), name="pkdr", serialize=_silent))
        sys.stdout.flush()
    except fire.core.FireExit as stop:
        if stop.code:
            _suggest(stop.trace)
        raise
    except KeyboardInterrupt as interruption:
        sys.stderr.write(f"\n{describe_interruption(interruption)}\n")
        raise SystemExit(INTERRUPTED_EXIT_CODE) from None
    except BrokenPipeError:  # `pkdr ... | head`: leave nothing for Python to flush into the closed pipe
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        raise SystemExit(BROKEN_PIPE_EXIT_CODE) from None
    except Exception as error:
        plain = plain_error_in(error)  # MONAI's parser wraps what it evaluates
        if plain is None:
            raise
        sys.stderr.write(f"error: {plain}\n")
        raise SystemExit(plain.exit_code) from None


def _suggest(trace: fire.trace.FireTrace) -> None:
    """Add to fire's complaint the nearest word that it knows, for the one that it does not.

    Of what is left over, that is the first; where an option is missing, it may be any that was misspelt.
    """
    component = trace.GetResult()
    words = trace.elements[-1].args or [""]
    for word in words if inspect.isroutine(component) else words[:1]:
        near = did_you_mean(word, component)
        if near is not None:
            sys.stderr.write(f"error: {word} is unknown: did you mean {near}?\n")
            return


def _silent(result: object) -> object:
    """Let fire show the help of a group, and nothing for a command that is about to run."""
    return None if isinstance(result, Plan) else result
