"""One HTML file with everything in it, which says to the browser what may run and that nothing may be loaded."""

from __future__ import annotations

import base64
import gzip
import hashlib
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

import pkdr_monai
from pkdr_monai.files import atomic_write, writing_to

__all__ = [
    "ABSENT",
    "VIEWER_LIBRARY",
    "Cell",
    "Table",
    "content_policy",
    "number",
    "number_cell",
    "render",
    "write_page",
]

ABSENT = "\N{EN DASH}"
"""Stands where there is no value."""


@dataclass(frozen=True)
class Cell:
    """A cell: what it shows, what it sorts by (nothing: last), and which part of the page it leads to."""

    text: str
    value: str
    link: str = ""


@dataclass(frozen=True)
class Table:
    """A table; the first cell of each row is the row's name."""

    headings: list[str]
    rows: list[list[Cell]]


def number(value: float | None, decimals: int = 3) -> str:
    """Write a number, or a dash where there is none.

    Example:
        >>> number(1234.56, 1), number(float("inf")), number(float("nan")) == ABSENT
        ('1,234.6', '∞', True)
    """
    if value is None or math.isnan(value):
        return ABSENT
    return "∞" if math.isinf(value) else f"{value:,.{decimals}f}"


def number_cell(value: float | None, decimals: int = 3) -> Cell:
    """Return the cell of a number; it sorts by all of its digits.

    Example:
        >>> number_cell(1234.56, 1), number_cell(None).value
        (Cell(text='1,234.6', value='1234.56', link=''), '')
    """
    if value is None or math.isnan(value):
        return Cell(number(value), "")
    return Cell(number(value, decimals), "Infinity" if math.isinf(value) else repr(float(value)))


FOLDER = Path(__file__).parent
STYLE, VIEWER_LIBRARY = "assets/page.css", "vendor/niivue.umd.js.gz"


def write_page(path: str | Path, template: str, scripts: tuple[str, ...], content: Mapping[str, Any]) -> Path:
    """Write a page, atomically.

    Args:
        path: the file to write.
        template: name of the template.
        scripts: files of this folder that the page runs, in their order.
        content: what the template shows. All of it is escaped.

    Raises:
        InputError: when the file cannot be written.
    """
    path = Path(path)
    text = render(template, scripts, content)
    with writing_to(path, "choose another place for it"), atomic_write(path) as file:
        file.write(text.encode(errors="backslashreplace"))
    return path


def render(template: str, scripts: tuple[str, ...], content: Mapping[str, Any]) -> str:
    """Return a page as text; see :func:`write_page`."""
    environment = Environment(
        loader=FileSystemLoader(FOLDER / "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["number"] = number
    style, codes = _asset(STYLE), [_asset(script) for script in scripts]
    return environment.get_template(template).render(
        **content,
        version=pkdr_monai.__version__,
        policy=content_policy([style], codes),
        style=Markup(style),
        scripts=[Markup(code) for code in codes],
    )


def content_policy(styles: list[str], scripts: list[str]) -> str:
    """Return the Content-Security-Policy of a page: these scripts and styles, pictures that lie in it, nothing else.

    Scripts are named by their hash, so that text which slipped into the page could not run, and no request can be made.

    Example:
        >>> content_policy([], [])
        "default-src 'none'; img-src data: blob:; base-uri 'none'; form-action 'none'"
    """
    parts = ["default-src 'none'", "img-src data: blob:"]
    for directive, texts in (("style-src", styles), ("script-src", scripts)):
        if texts:
            parts.append(f"{directive} {' '.join(map(_source, texts))}")
    return "; ".join([*parts, "base-uri 'none'", "form-action 'none'"])


@cache
def _asset(name: str) -> str:
    """Read a file of this folder that goes into the page as it is."""
    content = (FOLDER / name).read_bytes()
    text = (gzip.decompress(content) if name.endswith(".gz") else content).decode().replace("\r\n", "\n")
    if re.search(r"</style" if name.endswith(".css") else r"</script|<!--", text, re.IGNORECASE):
        raise ValueError(f"{name} would end the element that holds it.")
    return text


def _source(text: str) -> str:
    digest = hashlib.sha256(text.encode(errors="backslashreplace")).digest()
    return f"'sha256-{base64.b64encode(digest).decode()}'"
