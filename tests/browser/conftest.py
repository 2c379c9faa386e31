"""A served copy of the built site, and a browser in which every other origin is cut off."""

import functools
import http.server
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.browser.book import SITE, Open
from tests.browser.chromium import find_chromium

sync_api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed (`make test` does)")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    here = Path(__file__).parent
    for item in items:
        if here in item.path.parents:
            item.add_marker(pytest.mark.browser)


class Handler(http.server.SimpleHTTPRequestHandler):
    """Serves quietly, and gzips nothing: weights are measured by the tests themselves."""

    extensions_map = {**http.server.SimpleHTTPRequestHandler.extensions_map, ".mjs": "text/javascript"}

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


@pytest.fixture(scope="session")
def browser() -> Iterator["sync_api.Browser"]:
    with sync_api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=str(find_chromium()),
            args=["--no-sandbox", "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE localhost"],
        )
        yield browser
        browser.close()


@pytest.fixture
def open_page(browser: "sync_api.Browser", site: str) -> Iterator[Open]:
    """open_page(path, **context options) -> a page; at the end, fails for any request to another origin.

    Pages that one test opens with the same options share their storage, like tabs of one browser. Script
    errors and files that are not there fail the test too, except those that have one of the words of the page's
    list `expected_trouble` in them.
    """
    contexts: dict[tuple, sync_api.BrowserContext] = {}
    foreign: list[str] = []
    trouble: list[str] = []
    expected: list[str] = []

    def watch(context: "sync_api.BrowserContext") -> None:
        def asked(request: "sync_api.Request") -> None:
            if not request.url.startswith((site, "data:", "blob:")):
                foreign.append(request.url)

        def answered(response: "sync_api.Response") -> None:
            if response.status >= 400:
                trouble.append(f"{response.status} {response.url}")

        context.on("request", asked)
        context.on("response", answered)
        context.on("weberror", lambda error: trouble.append(str(error.error)))

    def open_(path: str, script: str = "", **options: object) -> "sync_api.Page":
        key = tuple(sorted((name, repr(value)) for name, value in options.items()))
        if key not in contexts:
            contexts[key] = browser.new_context(**options)  # type: ignore[arg-type]
            contexts[key].set_default_timeout(30_000)
            watch(contexts[key])
        page = contexts[key].new_page()
        page.expected_trouble = expected  # type: ignore[attr-defined]
        if script:
            page.add_init_script(script)
        page.goto(site + path, wait_until="load")
        return page

    yield open_
    for context in contexts.values():
        context.close()
    unexpected = [line for line in trouble if not any(word in line for word in expected)]
    assert not foreign, f"requests to other origins: {sorted(set(foreign))}"
    assert not unexpected, f"errors in the page: {unexpected}"
