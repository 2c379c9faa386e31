"""The chapters as notebooks in JupyterLite, on the same self-hosted Python."""

import re

from playwright.sync_api import expect

from tests.browser.book import CHAPTER, Open

BOOTED = 90_000  # ms


def test_open_as_notebook_and_import_tinytorch(open_page: Open) -> None:
    page = open_page(CHAPTER, trouble=("/lite/api/",))
    title = page.locator("article h1").inner_text().rstrip("#").strip()
    page.get_by_role("link", name="Open as notebook").click()
    first = page.locator(".jp-CodeCell .cm-content").first
    expect(first).to_be_visible(timeout=BOOTED)
    expect(page.locator(".jp-MarkdownCell").first).to_contain_text(title)
    # A cell that is run before the kernel is there would never be executed.
    expect(page.locator(".jp-Notebook-ExecutionIndicator[data-status=idle]")).to_be_visible(timeout=BOOTED)
    first.click()
    page.keyboard.press("Control+A")
    page.keyboard.insert_text("import tinytorch\nprint('sum', tinytorch.ones(6, 7).sum().item())")
    page.keyboard.press("Shift+Enter")
    shown = page.locator(".jp-OutputArea-output").first
    expect(shown).to_have_text(re.compile(r"^\s*sum 42\.0\s*$"), timeout=BOOTED)


def test_lab_lists_the_chapters(open_page: Open) -> None:
    page = open_page("lite/lab/index.html?path=modules/01_tensor.ipynb", trouble=("/lite/api/",))
    expect(page.locator(".jp-CodeCell .cm-content").first).to_be_visible(timeout=BOOTED)
    listed = page.locator(".jp-DirListing-item")
    expect(listed.filter(has_text="01_tensor.ipynb")).to_be_visible()
