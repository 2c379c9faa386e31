"""A served copy of the built site, and a browser in which every other origin is cut off."""

import functools
import http.server
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, BrowserContext, Page, Request, Response, sync_playwright

from tests.browser.book import SITE, Open
from tests.browser.chromium import find_chromium


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    here = Path(__file__).parent
    for item in items:
        if here in item.path.parents:
            item.add_marker(pytest.mark.browser)


class Handler(http.server.SimpleHTTPRequestHandler):
    """Serves quietly, with no more than `make serve` does."""

    def log_message(self, *args: object) -> None:
        pass


class Server(http.server.ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, *args: object) -> None:
        """A browser that leaves a page hangs up on what it no longer needs."""


@pytest.fixture(scope="session")
def site() -> Iterator[str]:
    """Address of the served site, with a slash at the end."""
    if not (SITE / "index.html").exists():
        pytest.fail(f"there is no site in {SITE}: run `make html` first", pytrace=False)
    server = Server(("127.0.0.1", 0), functools.partial(Handler, directory=str(SITE)))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://localhost:{server.server_port}/"
    server.shutdown()
    server.server_close()


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=str(find_chromium()),
            args=["--no-sandbox", "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE localhost"],
        )
        yield browser
        browser.close()


@pytest.fixture
def open_page(browser: Browser, site: str) -> Iterator[Open]:
    """open_page(path, script="", trouble=(), **context options) -> a page that has loaded.

    `script` runs before the page's own. Pages that one test opens with the same options share their storage,
    like tabs of one browser. At the end a request to another origin fails the test; so do script errors and
    files that are not there, except those with one of the words of `trouble` in them.
    """
    contexts: dict[tuple[tuple[str, str], ...], BrowserContext] = {}
    foreign: set[str] = set()
    seen: list[str] = []
    expected: list[str] = []

    def asked(request: Request) -> None:
        if not request.url.startswith((site, "data:", "blob:")):
            foreign.add(request.url)

    def answered(response: Response) -> None:
        if response.status >= 400:
            seen.append(f"{response.status} {response.url}")

    def open_(path: str, script: str = "", trouble: tuple[str, ...] = (), **options: Any) -> Page:
        key = tuple(sorted((name, repr(value)) for name, value in options.items()))
        if key not in contexts:
            context = contexts[key] = browser.new_context(**options)
            context.set_default_timeout(30_000)
            context.on("request", asked)
            context.on("response", answered)
            context.on("weberror", lambda error: seen.append(str(error.error)))
        expected.extend(trouble)
        page = contexts[key].new_page()
        if script:
            page.add_init_script(script)
        page.goto(site + path, wait_until="load")
        return page

    yield open_
    for context in contexts.values():
        context.close()
    unexpected = [line for line in seen if not any(word in line for word in expected)]
    assert not foreign, f"requests to other origins: {sorted(foreign)}"
    assert not unexpected, f"errors in the page: {unexpected}"
