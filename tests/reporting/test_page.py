"""The page in text, and in a browser: it draws, it sorts, and it asks nobody for anything."""

from __future__ import annotations

import gzip
import hashlib
import io
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from pkdr_monai.data import find_cases
from pkdr_monai.data.fingerprint import fingerprint
from pkdr_monai.errors import InputError
from pkdr_monai.reporting import write_fingerprint_page, write_report
from pkdr_monai.reporting.fingerprint import Thumbnails
from pkdr_monai.reporting.page import FOLDER, VIEWER_LIBRARY, content_policy, render, write_page

ROOT = Path(__file__).resolve().parents[2]
HOSTILE = ["<script>hacked=1<", "<img src=x onerror=hacked=1>", "\"'onload=hacked=1"]


def test_viewer_library_is_the_one_that_was_pinned() -> None:
    digest = hashlib.sha256(gzip.decompress((FOLDER / VIEWER_LIBRARY).read_bytes())).hexdigest()
    assert digest in (FOLDER / "vendor" / "README.md").read_text()
    assert f"SHA256={digest}" in (ROOT / "tools" / "vendor_niivue.sh").read_text()
    assert "BSD 2-Clause" in (FOLDER / "vendor" / "LICENSE.niivue.txt").read_text()


def test_policy_lets_only_named_scripts_run_and_loads_nothing() -> None:
    policy = content_policy(["p {}"], ["a()", "b()"])
    assert policy.startswith("default-src 'none'; img-src data: blob:;")
    assert policy.count("'sha256-") == 3
    assert "unsafe" not in policy
    assert "http" not in policy


def test_template_that_names_what_is_not_given_is_an_error() -> None:
    with pytest.raises(Exception, match="is undefined"):
        render("report.html.j2", (), {"title": "a"})


def test_place_that_cannot_be_written_is_one_sentence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pkdr_monai.reporting.page.render", lambda *_: "")
    (tmp_path / "file").touch()
    with pytest.raises(InputError, match=r"cannot write .*page\.html: .* choose another place"):
        write_page(tmp_path / "file" / "page.html", "report.html.j2", (), {})


@dataclass
class Opened:
    """A page in a browser, with all that it said and asked for."""

    page: Any
    messages: list[str] = field(default_factory=list)
    requests: list[str] = field(default_factory=list)

    def column(self, place: int) -> list[str]:
        return self.page.locator(f"#case-table tbody tr > :nth-child({place})").all_inner_texts()

    def sort(self, heading: str) -> None:
        self.page.get_by_role("button", name=heading, exact=True).click()

    def canvas(self) -> np.ndarray:
        return np.asarray(Image.open(io.BytesIO(self.page.locator("#viewer canvas").screenshot())).convert("L"), float)


@pytest.fixture
def open_page(browser: Any) -> Iterator[Callable[..., Opened]]:
    contexts = []

    def opened(path: Path, **options: Any) -> Opened:
        context = browser.new_context(viewport={"width": 1280, "height": 900}, **options)
        contexts.append(context)
        result = Opened(context.new_page())
        result.page.on("console", lambda message: result.messages.append(message.text))
        result.page.on("pageerror", lambda error: result.messages.append(str(error)))
        result.page.on("request", lambda request: result.requests.append(request.url))
        result.page.goto(path.as_uri())
        if result.page.locator("#viewer").count():
            result.page.wait_for_selector("#viewer[data-state=ready]", timeout=60_000)
        return result

    yield opened
    for context in contexts:
        context.close()


def _silent(opened: Opened, path: Path) -> None:
    assert opened.messages == []
    assert {url for url in opened.requests if not url.startswith(("data:", "blob:"))} == {path.as_uri()}


@pytest.mark.browser
def test_report_draws_and_asks_nobody_for_anything(
    make_run: Callable[..., Path], cohort: Path, open_page: Callable[..., Opened]
) -> None:
    from playwright.sync_api import expect

    path = write_report(make_run(weights=True), dataset_dir=cohort)
    opened = open_page(path)
    first = opened.canvas()
    assert (first > 40).mean() > 0.02
    assert len(np.unique(first)) > 20
    opened.page.locator("#viewer input[value=truth]").check()
    opened.page.get_by_role("button", name="Axial", exact=True).click()
    assert np.abs(opened.canvas() - first).mean() > 1
    opened.page.locator("#viewer select").select_option(index=1)
    expect(opened.page.get_by_role("status")).to_have_text("b is shown.")
    assert (opened.canvas() > 40).mean() > 0.02
    _silent(opened, path)


@pytest.mark.browser
def test_table_sorts_by_the_column_that_is_clicked_and_back(
    make_run: Callable[..., Path], open_page: Callable[..., Opened]
) -> None:
    path = write_report(make_run([f"case{number}" for number in (2, 10, 1)]))
    opened = open_page(path)
    opened.sort("Dice TC")
    assert opened.column(2) == ["0.700", "0.800", "0.900"]
    opened.sort("Dice TC")
    assert opened.column(2) == ["0.900", "0.800", "0.700"]
    opened.sort("HD95 TC")
    assert opened.column(6) == ["10.0", "10.0", "110.0"]
    opened.sort("case")
    assert opened.column(1) == ["case1", "case2", "case10"]
    heading = opened.page.locator("th[aria-sort]")
    assert heading.count() == 1
    assert heading.get_attribute("aria-sort") == "ascending"
    _silent(opened, path)


@pytest.mark.browser
def test_names_of_cases_are_shown_and_never_run(
    make_run: Callable[..., Path], write_case: Callable[..., Path], open_page: Callable[..., Opened]
) -> None:
    folder = [write_case(name) for name in HOSTILE].pop()
    path = write_report(make_run(HOSTILE, weights=True), dataset_dir=folder)
    opened = open_page(path)
    assert opened.page.evaluate("window.hacked") is None
    assert set(opened.column(1)) == set(HOSTILE)
    assert set(opened.page.locator("#viewer option").all_inner_texts()) == set(HOSTILE)
    _silent(opened, path)


@pytest.mark.browser
def test_policy_holds_even_against_a_script_that_got_in(
    make_run: Callable[..., Path], open_page: Callable[..., Opened]
) -> None:
    """Nothing gets in; if it did, the browser would not run it and would let nothing out."""
    opened = open_page(write_report(make_run()))
    refused = opened.page.evaluate(
        """async () => {
            const refused = [];
            document.addEventListener("securitypolicyviolation", (event) => refused.push(event.effectiveDirective));
            document.body.insertAdjacentHTML("beforeend", "<img src=x onerror='window.hacked=1'>");
            document.body.append(Object.assign(document.createElement("script"), { textContent: "window.hacked=1" }));
            await fetch("https://example.org/").catch(() => null);
            await new Promise((done) => setTimeout(done, 200));
            return refused;
        }"""
    )
    assert {"connect-src", "img-src", "script-src-elem"} <= set(refused)
    assert opened.page.evaluate("window.hacked") is None


@pytest.mark.browser
def test_dark_page_is_dark_and_a_narrow_one_does_not_scroll_sideways(
    make_run: Callable[..., Path], open_page: Callable[..., Opened]
) -> None:
    path = write_report(make_run())
    dark = open_page(path, color_scheme="dark")
    assert np.asarray(Image.open(io.BytesIO(dark.page.screenshot())).convert("L")).mean() < 60
    source = dark.page.evaluate("document.querySelector('picture img').currentSrc")
    assert source == dark.page.evaluate("document.querySelector('picture source').srcset")
    dark.page.set_viewport_size({"width": 400, "height": 800})
    assert dark.page.evaluate("document.documentElement.scrollWidth") <= 400


@pytest.mark.browser
def test_page_of_a_data_set_loads_and_sorts(cohort: Path, tmp_path: Path, open_page: Callable[..., Opened]) -> None:
    found = find_cases(cohort)
    thumbnails = Thumbnails(found.label_scheme)
    measured = fingerprint(found.cases, cohort, found.label_scheme, look=thumbnails)
    path = write_fingerprint_page(tmp_path / "page.html", measured, thumbnails.pictures)
    opened = open_page(path)
    opened.sort("case")
    opened.sort("case")
    assert opened.column(1) == ["c", "b", "a"]
    assert all(opened.page.evaluate("Array.from(document.images, (image) => image.naturalWidth)"))
    _silent(opened, path)
