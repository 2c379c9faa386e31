"""What a reader does in a chapter: start Python, run, edit, stop, leave and come back."""

import re

import pytest
from playwright.sync_api import Locator, Page, expect

from tests.browser.book import CHAPTER, Open

STARTED = 60_000  # ms; a cold start on two busy cores


def kernel(page: Page) -> Locator:
    return page.locator("html")


def wait_for(page: Page, *states: str) -> None:
    expect(kernel(page)).to_have_attribute("data-tt-kernel", re.compile("|".join(states)), timeout=STARTED)


def cell(page: Page, number: int = 1) -> Locator:
    return page.locator(".tt-cell").nth(number - 1)


def button(cell: Locator, name: str) -> Locator:
    return cell.locator(f"[data-tt={name}]")


def output(cell: Locator) -> Locator:
    return cell.locator(".tt-output")


def start(page: Page) -> None:
    page.locator("[data-tt=start]").click()
    wait_for(page, "ready")


def write(page: Page, cell: Locator, code: str) -> None:
    cell.locator(".cm-content").click()
    page.keyboard.press("Control+A")
    page.keyboard.insert_text(code)


def run(page: Page, cell: Locator) -> None:
    button(cell, "run").click()
    expect(cell).not_to_have_attribute("data-tt-run", re.compile("."), timeout=STARTED)


def run_code(page: Page, cell: Locator, code: str) -> str:
    write(page, cell, code)
    run(page, cell)
    return output(cell).inner_text().strip()


def wait_until_saved(cell: Locator) -> None:
    expect(cell.locator(".tt-note")).to_contain_text("saved in this browser")


def test_start_loads_python_and_run_shows_the_output(open_page: Open) -> None:
    page = open_page(CHAPTER)
    expect(kernel(page)).to_have_attribute("data-tt-kernel", "off")
    built = output(cell(page)).inner_text()
    assert built.strip()
    page.locator("[data-tt=start]").click()
    expect(page.locator(".tt-status")).to_contain_text(re.compile(r"[\d.]+ of [\d.]+ MB"), timeout=STARTED)
    wait_for(page, "ready")
    run(page, cell(page))
    assert output(cell(page)).inner_text().split() == built.split()


def test_run_starts_python_where_nobody_pressed_start(open_page: Open) -> None:
    page = open_page(CHAPTER)
    run(page, cell(page))
    wait_for(page, "ready")
    assert output(cell(page)).inner_text().strip()
    expect(cell(page).locator(".cm-content")).to_be_visible()


def test_cells_share_one_python_and_run_again_after_an_edit(open_page: Open) -> None:
    page = open_page(CHAPTER)
    start(page)
    assert run_code(page, cell(page, 1), "shared = 40\nshared + 1") == "41"
    assert run_code(page, cell(page, 2), "print(shared + 2)") == "42"
    assert run_code(page, cell(page, 1), "shared = 1\nshared") == "1"
    run(page, cell(page, 2))
    assert output(cell(page, 2)).inner_text().strip() == "3"


def test_the_shipped_tinytorch_is_what_runs(open_page: Open) -> None:
    page = open_page(CHAPTER)
    start(page)
    shown = run_code(page, cell(page), "import tinytorch as tt\n(tt.ones(2, 3) @ tt.ones(3, 4)).tolist()")
    assert shown == "[[3.0, 3.0, 3.0, 3.0], [3.0, 3.0, 3.0, 3.0]]"


def test_stop_ends_an_endless_loop_and_keeps_the_edit(open_page: Open) -> None:
    page = open_page(CHAPTER)
    start(page)
    run_code(page, cell(page, 2), "before = 1")
    loop = "print('going')\nwhile True:\n    pass"
    write(page, cell(page), loop)
    button(cell(page), "run").click()
    wait_for(page, "busy")
    expect(output(cell(page))).to_contain_text("going")
    button(cell(page), "stop").click()
    expect(output(cell(page))).to_contain_text("variables are gone")
    wait_for(page, "ready")
    expect(cell(page).locator(".cm-content")).to_contain_text("while True:")
    assert "NameError" in run_code(page, cell(page, 2), "before")


def test_stopping_drops_the_runs_that_wait(open_page: Open) -> None:
    page = open_page(CHAPTER)
    start(page)
    write(page, cell(page, 2), "print('second')")
    write(page, cell(page, 1), "while True:\n    pass")
    button(cell(page, 1), "run").click()
    button(cell(page, 2), "run").click()
    button(cell(page, 1), "stop").click()
    expect(cell(page, 2).locator(".tt-note")).to_have_text("Not run")
    wait_for(page, "ready")
    assert "second" not in output(cell(page, 2)).inner_text()


def test_an_edit_is_there_after_a_reload_and_python_starts_by_itself(open_page: Open) -> None:
    page = open_page(CHAPTER)
    start(page)
    write(page, cell(page), "kept = 'after the reload'\nprint(kept)")
    wait_until_saved(cell(page))
    page.reload()
    expect(cell(page).locator(".cm-content")).to_contain_text("after the reload", timeout=STARTED)
    wait_for(page, "ready")
    run(page, cell(page))
    assert output(cell(page)).inner_text().strip() == "after the reload"


def test_a_reader_can_have_python_wait_for_start(open_page: Open) -> None:
    page = open_page(CHAPTER)
    start(page)
    write(page, cell(page), "kept = 1")
    wait_until_saved(cell(page))
    page.locator("[data-tt=autostart]").uncheck()
    page.reload()
    expect(cell(page).locator(".cm-content")).to_contain_text("kept = 1")
    expect(kernel(page)).to_have_attribute("data-tt-kernel", "off")


def test_an_error_is_one_readable_line_with_the_traceback_folded(open_page: Open) -> None:
    page = open_page(CHAPTER)
    start(page)
    run_code(page, cell(page), "def half(x):\n    return x / 0\n\nhalf(1)")
    error = output(cell(page)).locator(".tt-error")
    expect(error.locator("p").first).to_have_text("ZeroDivisionError: division by zero")
    expect(error.locator("pre")).to_be_hidden()
    error.locator("summary").click()
    expect(error.locator("pre")).to_contain_text("half")
    expect(error.locator("pre")).to_contain_text("cell 1")


def test_a_missing_name_offers_to_run_the_cells_above(open_page: Open) -> None:
    page = open_page(CHAPTER)
    start(page)
    write(page, cell(page, 1), "from_above = 21")
    write(page, cell(page, 2), "1")
    write(page, cell(page, 3), "from_above * 2")
    run(page, cell(page, 3))
    expect(output(cell(page, 3))).to_contain_text("NameError")
    output(cell(page, 3)).get_by_role("button", name="Run them, then this one").click()
    expect(output(cell(page, 3))).to_have_text(re.compile(r"^\s*42\s*$"))


def test_a_failing_cell_ends_run_all(open_page: Open) -> None:
    page = open_page(CHAPTER)
    start(page)
    write(page, cell(page, 1), "raise ValueError('here')")
    write(page, cell(page, 2), "print('never')")
    page.locator("[data-tt=run-all]").click()
    expect(output(cell(page, 1))).to_contain_text("ValueError: here")
    expect(cell(page, 2).locator(".tt-note")).to_have_text("Not run")
    assert "never" not in output(cell(page, 2)).inner_text()


def test_reset_brings_the_original_back_and_can_be_undone(open_page: Open) -> None:
    page = open_page(CHAPTER)
    original = cell(page).locator("pre").first.inner_text().strip()
    built = output(cell(page)).inner_text()
    start(page)
    editor = cell(page).locator(".cm-content")
    assert run_code(page, cell(page), "print('mine')") == "mine"
    button(cell(page), "reset").click()
    assert editor.inner_text().strip() == original
    assert output(cell(page)).inner_text() == built
    button(cell(page), "reset").click()
    expect(editor).to_contain_text("print('mine')")
    button(cell(page), "reset").click()
    expect(cell(page).locator(".tt-note")).to_have_text("Back to the original")
    page.reload()
    wait_for(page, "ready")
    assert editor.inner_text().strip() == original


REWRITE = """
() => new Promise((resolve, reject) => {
  const request = indexedDB.open("tinytorch");
  request.onerror = () => reject(request.error);
  request.onsuccess = () => {
    const transaction = request.result.transaction("edits", "readwrite");
    const edits = transaction.objectStore("edits");
    edits.getAll().onsuccess = ({ target }) => {
      for (const edit of target.result) edits.put({ ...edit, hash: "of another text", original: "older" });
    };
    transaction.oncomplete = () => { request.result.close(); resolve(); };
  };
})
"""


@pytest.mark.parametrize("choice", ["Keep mine", "Take the new one"])
def test_a_rewritten_original_asks_what_to_keep(open_page: Open, choice: str) -> None:
    page = open_page(CHAPTER)
    original = cell(page).locator("pre").first.inner_text().strip()
    start(page)
    page.locator("[data-tt=autostart]").uncheck()
    write(page, cell(page), "print('mine')")
    wait_until_saved(cell(page))
    page.evaluate(REWRITE)
    page.reload()
    editor = cell(page).locator(".cm-content")
    expect(editor).to_contain_text("print('mine')")
    expect(cell(page).locator(".tt-question")).to_contain_text("rewritten")
    cell(page).get_by_role("button", name=choice).click()
    expect(cell(page).locator(".tt-question")).to_have_count(0)
    shown = "print('mine')" if choice == "Keep mine" else original
    assert editor.inner_text().strip() == shown
    # The answer is kept: the question does not come back.
    note = re.compile("saved in this browser|Back to the original")
    expect(cell(page).locator(".tt-note")).to_have_text(note)
    page.reload()
    code = editor if choice == "Keep mine" else cell(page).locator("pre").first
    expect(code).to_be_visible()
    assert code.inner_text().strip() == shown
    expect(cell(page).locator(".tt-question")).to_have_count(0)


NO_STORAGE = """
for (const name of ["indexedDB", "localStorage"]) {
  Object.defineProperty(window, name, { get() { throw new DOMException("refused", "SecurityError"); } });
}
"""


def test_a_browser_that_stores_nothing_says_so_and_works(open_page: Open) -> None:
    # The theme's own scripts keep the colour scheme in localStorage and fail; that is not ours to hide.
    page = open_page(CHAPTER, script=NO_STORAGE, trouble=("refused",))
    start(page)
    expect(page.locator(".tt-remark")).to_contain_text("kept until you leave")
    assert run_code(page, cell(page), "print(6 * 7)") == "42"


def test_the_keyboard_runs_moves_on_and_leaves(open_page: Open) -> None:
    page = open_page(CHAPTER)
    start(page)
    write(page, cell(page), "print('shift')")
    page.keyboard.press("Shift+Enter")
    expect(output(cell(page))).to_have_text(re.compile(r"^\s*shift\s*$"))
    expect(cell(page, 2).locator(".cm-content")).to_be_focused()
    write(page, cell(page, 2), "print('control')")
    page.keyboard.press("Control+Enter")
    expect(output(cell(page, 2))).to_have_text(re.compile(r"^\s*control\s*$"))
    expect(cell(page, 2).locator(".cm-content")).to_be_focused()
    page.keyboard.press("Escape")
    page.keyboard.press("Tab")
    expect(button(cell(page, 2), "run")).to_be_focused()
    assert cell(page, 2).locator(".cm-content").inner_text() == "print('control')"


def test_python_that_cannot_start_says_why_and_can_be_tried_again(open_page: Open) -> None:
    page = open_page(CHAPTER, trouble=("manifest.json",))
    page.context.route("**/live/manifest.json", lambda route: route.fulfill(status=503))
    page.locator("[data-tt=start]").click()
    wait_for(page, "dead")
    expect(page.locator(".tt-status")).to_contain_text("503")
    page.context.unroute("**/live/manifest.json")
    expect(page.locator("[data-tt=start]")).to_have_text("Start again")
    start(page)
    assert run_code(page, cell(page), "print(1)") == "1"
