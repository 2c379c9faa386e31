"""Every live cell of a page, from first to last, in the browser."""

import re

import pytest
from playwright.sync_api import expect

from tests.browser.book import Open, live_pages
from tests.browser.test_live_cells import start, wait_for

WHOLE_CHAPTER = 120_000  # ms


@pytest.mark.parametrize("path", live_pages())
def test_all_cells_run_in_the_browser(open_page: Open, path: str) -> None:
    page = open_page(path)
    start(page)
    page.locator("[data-tt=run-all]").click()
    expect(page.locator(".tt-cell[data-tt-run]")).to_have_count(0, timeout=WHOLE_CHAPTER)
    wait_for(page, "ready")
    failed = page.locator(".tt-cell:not([data-tt-raises]):has(.tt-error)")
    assert failed.all_inner_texts() == []
    for note in page.locator(".tt-cell:not([data-tt-raises]) .tt-tools .tt-note").all_inner_texts():
        assert re.match(r"Ran in [\d.]+ m?s", note), note
