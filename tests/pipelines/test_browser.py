"""In a real browser, as an operator clicks: the form of `retrain` starts a run, and its artifacts are looked at."""

import os
import re
import shutil
from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest

from pipelines.worktree import saved_runs
from station import Station

if TYPE_CHECKING:
    from playwright.sync_api import Page

pytestmark = pytest.mark.slow

_MILLISECONDS = 60_000  # a page's own patience; a machine that also runs a pipeline is slow


@pytest.fixture(scope="module")
def page() -> Iterator["Page"]:
    """A page of the system's Chromium."""
    api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    chromium = shutil.which("chromium")
    if chromium is None:
        pytest.skip("no chromium on PATH (Debian: apt install chromium)")
    with api.sync_playwright() as playwright:
        sandbox = ["--no-sandbox"] if os.geteuid() == 0 else []  # Chromium refuses root its sandbox
        browser = playwright.chromium.launch(executable_path=chromium, args=sandbox)
        opened = browser.new_page(viewport={"width": 1400, "height": 1000})
        opened.set_default_timeout(_MILLISECONDS)
        yield opened
        browser.close()


def test_a_run_with_a_changed_parameter_is_started_from_the_form(page: "Page", station: Station) -> None:
    site = station.api.removesuffix("/api")
    page.goto(f"{site}/deployments")
    deployment = station.deployment("retrain/local")
    assert deployment
    page.locator(f'a[href*="/deployments/deployment/{deployment["id"]}"]').first.click()
    page.get_by_role("button", name="Run", exact=True).first.click()
    page.get_by_text("Custom run").first.click()
    page.get_by_role("button", name="Add item").click()
    page.locator("textarea").last.fill("tasks.docs_qa.finetune.learning_rate=0.0007")
    page.get_by_role("button", name="Submit").click()
    page.locator('a[href*="/runs/flow-run/"]').first.click()
    page.wait_for_url(re.compile("/runs/flow-run/"))
    run = page.url.partition("/runs/flow-run/")[2].partition("?")[0]

    state = station.ended(run, 400)
    assert (state["type"], state["message"]) == ("COMPLETED", "19 stages: 5 ran, 14 up to date"), station.logs(run)
    assert f"retrain-{run[-8:]}" in saved_runs(station.checkout)
    parameters = station.ask("GET", f"/flow_runs/{run}")["parameters"]
    assert parameters["overrides"]["more"] == ["tasks.docs_qa.finetune.learning_rate=0.0007"]

    page.get_by_text("Artifacts", exact=True).first.click()
    for key in ("gate-task-docs-topic", "scoreboard", "registry", "result"):
        page.get_by_text(key, exact=True).first.wait_for()
    page.get_by_text("plan", exact=True).first.click()
    page.get_by_text("to run: tasks.docs_qa modified").first.wait_for()
    page.go_back()
    page.get_by_text("Artifacts", exact=True).first.click()
    page.get_by_text("docs-qa-fine-tuning-loss", exact=True).first.click()
    curve = page.locator('img[src^="data:image/png"]').first
    curve.wait_for()
    assert curve.evaluate("image => image.naturalWidth") > 100
    page.go_back()
    page.get_by_text("Artifacts", exact=True).first.click()
    page.get_by_text("gate-corpus", exact=True).first.click()
    with page.expect_popup() as opened:
        page.get_by_role("link", name="Data Docs").click()
    docs = opened.value
    docs.get_by_text("gate_corpus").first.wait_for()
    assert docs.url.startswith("http://127.0.0.1:")
