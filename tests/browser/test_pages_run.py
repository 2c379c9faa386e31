"""Every live cell of a page, from first to last, in the browser, on the coarsest clock that browsers have."""

import re

import pytest
from playwright.sync_api import Page, Route, expect

from tests.browser.book import Open, live_pages
from tests.browser.test_live_cells import cell, output, run, start, wait_for, write

WHOLE_CHAPTER = 120_000  # ms
# On a page that is not isolated from others, Firefox's clock goes in steps of a millisecond, as this one.
COARSE_CLOCK = "const exact = performance.now.bind(performance); performance.now = () => Math.floor(exact());"


def make_clock_coarse(page: Page) -> None:
    def serve(route: Route) -> None:
        response = route.fetch()
        route.fulfill(response=response, body=COARSE_CLOCK + response.text())

    page.route("**/live/worker-*.js", serve)


def test_the_clock_is_coarse(open_page: Open) -> None:
    page = open_page("modules/01_tensor.html")
    make_clock_coarse(page)
    start(page)
    code = "import time; print(len({time.perf_counter() for _ in range(100_000)}))"
    write(page, cell(page), code)
    run(page, cell(page))
    assert 2 <= int(output(cell(page)).inner_text()) <= 2_000


@pytest.mark.parametrize("path", live_pages())
def test_all_cells_run_in_the_browser(open_page: Open, path: str) -> None:
    page = open_page(path)
    make_clock_coarse(page)
    start(page)
    page.locator("[data-tt=run-all]").click()
    expect(page.locator(".tt-cell[data-tt-run]")).to_have_count(0, timeout=WHOLE_CHAPTER)
    wait_for(page, "ready")
    failed = page.locator(".tt-cell:not([data-tt-raises]):has(.tt-error)")
    assert failed.all_inner_texts() == []
    for note in page.locator(".tt-cell:not([data-tt-raises]) .tt-tools .tt-note").all_inner_texts():
        assert re.match(r"Ran in [\d.]+ m?s", note), note
