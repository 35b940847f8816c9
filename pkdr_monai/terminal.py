"""What the command line needs besides its commands: plans, hints, output, progress."""

from __future__ import annotations

import difflib
import functools
import inspect
import re
import sys
import time
from collections.abc import Callable, Sequence
from typing import Any

import fire

from pkdr_monai.arguments import switch
from pkdr_monai.errors import InputError

__all__ = ["Plan", "ProgressLine", "command", "did_you_mean", "echo", "run_plan", "settle_switches"]

fire.decorators.FIRE_METADATA = (
    "_fire_metadata"  # under its own name, fire lists it as a sub-command in every help text
)

SWITCHES = ("resume",)  # settings of the bundle's configs that are on or off
OPTION = re.compile(r"-(-|[A-Za-z])")  # unlike a number below 0, and a dash alone
PROGRESS_SECONDS = 5.0  # between two lines of progress, where there is no terminal that shows one line growing


class Plan:
    """A command with its arguments, not begun: first, fire has to accept every word of the command line.

    Fire calls a function as soon as it has the arguments, and only then complains about a word that is left over.
    """

    def __init__(self, run: Callable[[], None], options: Sequence[str] = ()) -> None:
        self._run = run
        self._options = tuple(options)


def run_plan(plan: object) -> None:
    """Run what fire returns, when it is the plan of a command."""
    if isinstance(plan, Plan):
        plan._run()


def command(**parsers: Callable[[str], Any]) -> Callable[[Callable[..., None]], Callable[..., Plan]]:
    """Make a method a command of the command line, which fire plans and :func:`run_plan` runs.

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


def settle_switches(words: Sequence[str], commands: object) -> list[str]:
    """Give every switch on a command line its value, so that one may stand before a word that is not its own.

    Fire takes the word after ``--fast`` for its value; of ``--fast scans`` this makes ``--fast=True scans``.

    Mistakes that fire accepts silently are refused: a repeated option, of which fire uses the last value; an option
    without a value, which fire sets to the text ``True``; and an empty argument, which as a path is the current folder.

    Args:
        words: the command line.
        commands: what fire begins with.

    Raises:
        InputError: when an option is given twice or lacks its value, or when a word is empty.

    Example:
        >>> class Commands:
        ...     @command(fast=switch)
        ...     def predict(self, scan, fast=False): ...
        >>> settle_switches(["predict", "--fast", "scan"], Commands())
        ['predict', '--fast=True', 'scan']
        >>> settle_switches(["predict", "scan", "--fast", "false"], Commands())
        ['predict', 'scan', '--fast=false']
    """
    component, count = commands, 0
    while count < len(words) and not inspect.isroutine(component) and not words[count].startswith("-"):
        component, count = getattr(component, words[count].replace("-", "_"), None), count + 1
    parsers = fire.decorators.GetParseFns(component)["named"] if inspect.isroutine(component) else {}
    switches = {name for name, parser in parsers.items() if parser is switch}
    known = list(inspect.signature(component).parameters) if inspect.isroutine(component) else []
    settled, rest, given = list(words[:count]), list(words[count:]), set()
    while rest:
        word = rest.pop(0)
        if word == "--":  # what follows is fire's own
            return [*settled, word, *rest]
        if word in ("--help", "-h") and "settings" in known:  # fire would take it for one of the settings
            return [*words[:count], "--help"]
        option, equals, value = word.partition("=")
        name = _long_name(option, known)
        if not word or (name and equals and not value):
            raise InputError(f"{option or 'an argument'} is empty: is it a variable of the shell that is not set?")
        if name in given:
            raise InputError(f"{option} is given twice. Give it once; between several values stand commas.")
        if (name in switches or (name in SWITCHES and "settings" in known)) and not equals:
            value = rest.pop(0) if rest and rest[0].lower() in ("true", "false") else "True"
            word = f"{word}={value}"
        elif name in known and not equals and (not rest or OPTION.match(rest[0])):
            raise InputError(f"{option} needs a value, which is to follow it.")
        if name:
            given.add(name)
        settled.append(word)
    return settled


def _long_name(word: str, known: Sequence[str]) -> str | None:
    """Return the option that a word names: ``--dry-run``, or ``-q`` where one alone begins so."""
    if word.startswith("--"):
        return word[2:].replace("-", "_")
    if len(word) == 2 and word[0] == "-":
        begin = [name for name in known if name[0] == word[1]]
        return begin[0] if len(begin) == 1 else None
    return None


def did_you_mean(word: str, component: object) -> str | None:
    """Return the option or command that somebody may have meant by a word that fire did not know, or ``None``.

    Args:
        word: the word, such as ``"--flar"``.
        component: what fire had found before it: a command, its plan, or a group of commands.

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
    """Print on the standard error how far a long loop is, and how long the rest will take.

    A terminal shows one line that grows; elsewhere, such as in a log file, a new line comes every five seconds.

    Args:
        doing: what is being done, such as ``"checking"``.
    """

    def __init__(self, doing: str) -> None:
        self.doing = doing
        self._start = self._last = time.monotonic()

    def __call__(self, done: int, total: int) -> None:
        """Print that ``done`` of ``total`` cases are done."""
        now = time.monotonic()
        left = (now - self._start) / done * (total - done)
        text = f"{self.doing}: {done} of {total} cases, about {left:.0f} s left"
        if sys.stderr.isatty():
            sys.stderr.write(f"\r\x1b[K{text}" if done < total else "\r\x1b[K")
            sys.stderr.flush()
        elif now - self._last >= PROGRESS_SECONDS:
            self._last = now
            sys.stderr.write(f"{text}\n")
