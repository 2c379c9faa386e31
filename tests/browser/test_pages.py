"""Every page of the book: complete in itself, light, readable by everybody."""

import gzip
import json

import pytest
from playwright.sync_api import Page, expect

from tests.browser.book import CHAPTER, ROOT, SITE, Open, chapters, live_pages, pages

PHONE = {"width": 390, "height": 844}
THEMES = ["light", "dark"]
AXE = ROOT / "lite" / "node_modules" / "axe-core" / "axe.min.js"
WEIGHT = 500_000  # bytes, compressed, before Python starts
COMPRESSED_ALREADY = (".woff2", ".png", ".jpg", ".jpeg", ".gif", ".webp", ".gz")


def set_theme(theme: str) -> str:
    """A script that makes the next page light or dark, as the theme's switch does."""
    return f"localStorage.setItem('mode', '{theme}'); localStorage.setItem('theme', '{theme}');"


@pytest.mark.parametrize("path", pages())
def test_page_is_complete_accessible_and_fits_a_phone(open_page: Open, path: str) -> None:
    """In light and dark, wide and narrow; open_page sees to foreign requests and errors."""
    page = open_page(path, script=set_theme("light"), reduced_motion="reduce")
    page.wait_for_load_state("networkidle")
    assert violations(page) == []
    page.evaluate("document.documentElement.dataset.theme = 'dark'")
    assert violations(page, "color-contrast") == []
    page.set_viewport_size(PHONE)
    width = page.evaluate("document.documentElement.scrollWidth")
    assert width <= PHONE["width"], f"{path} is {width} px wide on a screen of {PHONE['width']} px"


@pytest.mark.parametrize("path", ["index.html", CHAPTER, "journey.html"])
def test_page_on_a_phone_is_accessible_in_the_dark(open_page: Open, path: str) -> None:
    page = open_page(path, script=set_theme("dark"), viewport=PHONE)
    expect(page.locator("html")).to_have_attribute("data-theme", "dark")
    assert violations(page) == []


@pytest.mark.parametrize("theme", THEMES)
def test_a_page_in_use_is_accessible(open_page: Open, theme: str) -> None:
    page = open_page(CHAPTER, script=set_theme(theme))
    page.locator("[data-tt=start]").click()
    expect(page.locator("html")).to_have_attribute("data-tt-kernel", "ready", timeout=60_000)
    first = page.locator(".tt-cell").first
    first.locator(".cm-content").click()
    page.keyboard.press("Control+A")
    page.keyboard.insert_text("print('before')\nundefined_name  # a comment, 1, 'text', None")
    first.locator("[data-tt=run]").click()
    expect(first.locator(".tt-error")).to_be_visible()
    assert violations(page) == []


def violations(page: Page, *rules: str) -> list[str]:
    """What axe-core finds on the page by the given rules, or by all: a line for each element."""
    if not page.evaluate("'axe' in window"):
        page.add_script_tag(path=AXE)
    chosen = {"runOnly": list(rules)} if rules else {}
    options = {"resultTypes": ["violations"], **chosen}
    found = page.evaluate("options => axe.run(document, options)", options)["violations"]
    return [
        f"{rule['id']}: {rule['help']}: {node['target']} {node['failureSummary']}"
        for rule in found
        for node in rule["nodes"]
    ]


@pytest.mark.parametrize("path", chapters())
def test_a_chapter_is_light_before_python_starts(open_page: Open, path: str) -> None:
    page = open_page("search.html")
    bodies: dict[str, bytes] = {}
    page.on("response", lambda response: bodies.update({response.url: response.body()}))
    page.goto(page.url.replace("search.html", path), wait_until="networkidle")
    weights = {url: compressed(url, body) for url, body in bodies.items()}
    heaviest = sorted(weights.items(), key=lambda item: -item[1])
    assert sum(weights.values()) <= WEIGHT, json.dumps(heaviest[:12], indent=1)
    assert any(url.endswith(path) for url in weights)


def compressed(url: str, body: bytes) -> int:
    return len(body) if url.split("?")[0].endswith(COMPRESSED_ALREADY) else len(gzip.compress(body, 6))


@pytest.mark.parametrize("path", live_pages())
def test_without_javascript_the_outputs_are_there_and_no_dead_buttons(open_page: Open, path: str) -> None:
    page = open_page(path, java_script_enabled=False)
    expect(page.locator(".tt-bar")).to_be_hidden()
    expect(page.locator(".tt-tools button").first).to_be_hidden()
    shown = page.locator(".tt-output").all_inner_texts()
    assert any(text.strip() for text in shown)


@pytest.mark.parametrize("theme", THEMES)
def test_the_diagrams_of_the_journey_are_drawn(open_page: Open, theme: str) -> None:
    page = open_page("journey.html", script=set_theme(theme))
    diagrams = page.locator(".tt-diagram")
    count = diagrams.count()
    assert count >= 10
    for place in range(count):
        diagrams.nth(place).scroll_into_view_if_needed()
        expect(diagrams.nth(place)).to_have_attribute("data-state", "drawn")
        expect(diagrams.nth(place).locator("svg").first).to_be_visible()


def test_a_live_page_announces_what_happens(open_page: Open) -> None:
    page = open_page(CHAPTER)
    spoken = page.locator(".tt-spoken[role=status]")
    page.locator("[data-tt=start]").click()
    expect(spoken).to_have_text("Python is ready.", timeout=60_000)
    page.locator(".tt-cell [data-tt=run]").first.click()
    expect(spoken).to_contain_text("Code cell 1 ran in")


def test_the_site_has_its_pages() -> None:
    names = pages()
    assert {"index.html", "journey.html", "datasets.html", "workflow.html", CHAPTER} <= set(names)
    assert (SITE / "lite" / "notebooks" / "index.html").exists()
