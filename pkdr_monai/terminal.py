"""What the command line needs besides its verbs: plans, hints, output, progress."""

from __future__ import annotations

import difflib
import functools
import inspect
import sys
import time
from collections.abc import Callable, Sequence
from typing import Any

import fire

__all__ = ["Plan", "ProgressLine", "did_you_mean", "echo", "run_plan", "verb"]

fire.decorators.FIRE_METADATA = (
    "_fire_metadata"  # under its own name, fire lists it as a sub-command in every help text
)

PROGRESS_SECONDS = 5.0  # between two lines of progress, where there is no terminal that shows one line growing


class Plan:
    """A verb with its arguments, not begun: first, fire has to accept every word of the command line.

    Fire calls a function as soon as it has the arguments, and only then complains about a word that is left over.
    """

    def __init__(self, run: Callable[[], None], options: Sequence[str] = ()) -> None:
        self._run = run
        self._options = tuple(options)


def run_plan(plan: object) -> None:
    """Run what fire returns, when it is the plan of a verb."""
    if isinstance(plan, Plan):
        plan._run()


def verb(**parsers: Callable[[str], Any]) -> Callable[[Callable[..., None]], Callable[..., Plan]]:
    """Make a method a verb of the command line, which fire plans and :func:`run_plan` runs.

    Args:
        parsers: what reads the arguments, by their names. Those without a parser stay text: fire itself would read the
            case ``001`` as 1 and the folder ``1e5`` as a number.
    """

    def decorate(method: Callable[..., None]) -> Callable[..., Plan]:
        @fire.decorators.SetParseFns(**parsers)
        @fire.decorators.SetParseFn(str)
        @functools.wraps(method)
        def plan(*arguments: Any, **options: Any) -> Plan:
            return Plan(functools.partial(method, *arguments, **options), list(inspect.signature(method).parameters))

        return plan

    return decorate


def did_you_mean(word: str, component: object) -> str | None:
    """Return the option or verb that somebody may have meant by a word that fire did not know, or ``None``.

    Args:
        word: the word, such as ``"--flar"``.
        component: what fire had found before it: a verb, its plan, or a group of verbs.

    Example:
        >>> did_you_mean("--flar", Plan(lambda: None, ["flair", "t1"]))
        '--flair'
    """
    option = word.startswith("-")
    if isinstance(component, Plan) or inspect.isroutine(component):
        verb_options = component._options if isinstance(component, Plan) else inspect.signature(component).parameters
        known = list(verb_options) if option else []
    else:
        known = [] if option else [name for name in dir(component) if name[0] != "_"]
    name = word.lstrip("-").partition("=")[0].replace("-", "_")
    near = [] if name in known else difflib.get_close_matches(name, known, n=1)
    if not near:
        return None
    return f"--{near[0]}" if option else near[0]


def echo(text: str) -> None:
    """Write a line to the standard output."""
    sys.stdout.write(f"{text}\n")


class ProgressLine:
    """Tell on the standard error how far a long loop is, and how long the rest will take.

    A terminal shows one line that grows; elsewhere, such as in a log file, a new line comes every five seconds.

    Args:
        doing: what is being done, such as ``"checking"``.
    """

    def __init__(self, doing: str) -> None:
        self.doing = doing
        self._start = self._last = time.monotonic()

    def __call__(self, done: int, total: int) -> None:
        """Tell that ``done`` of ``total`` cases are done."""
        now = time.monotonic()
        left = (now - self._start) / done * (total - done)
        text = f"{self.doing}: {done} of {total} cases, about {left:.0f} s left"
        if sys.stderr.isatty():
            sys.stderr.write(f"\r\x1b[K{text}" if done < total else "\r\x1b[K")
            sys.stderr.flush()
        elif now - self._last >= PROGRESS_SECONDS:
            self._last = now
            sys.stderr.write(f"{text}\n")
