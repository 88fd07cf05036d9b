"""The site as a visitor meets it, in a headless Chromium that has no way out."""

import functools
import http.server
import os
import re
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

PAGES = (
    "index",
    "notebooks/index",
    "notebooks/10_match",
    "proposals/index",
    "proposals/balloon",
    "params",
    "api/index",
    "api/flow",
    "guides/index",
    "guides/architecture",
    "guides/add_a_proposal",
    "provenance",
)
SERIOUS = ("serious", "critical")  # impacts of a finding that are not accepted

pytestmark = pytest.mark.browser


class Quiet(http.server.SimpleHTTPRequestHandler):
    def log_message(self, format: str, *args: object) -> None:
        pass


@pytest.fixture(scope="module")
def address(built_site: Path) -> Iterator[str]:
    handler = functools.partial(Quiet, directory=str(built_site))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


@pytest.fixture
def visit(chromium, address):
    """Opens pages; afterwards nothing was asked from elsewhere and nothing complained."""
    wanted, complaints, contexts = [], [], []

    def open_page(path: str, *, scheme: str = "light", width: int = 1280, base: str = address):
        context = chromium.new_context(
            color_scheme=scheme, viewport={"width": width, "height": 900}
        )
        contexts.append(context)
        page = context.new_page()
        page.on("request", lambda request: wanted.append(request.url))
        page.on("console", lambda m: complaints.append(m.text) if m.type == "error" else None)
        page.on("pageerror", lambda error: complaints.append(str(error)))
        page.goto(f"{base}/{path}.html", wait_until="networkidle")
        return page

    yield open_page
    for context in contexts:
        context.close()
    ours = (address, "data:", "blob:", "file:")
    assert wanted, "the browser was used"
    assert [url for url in wanted if not url.startswith(ours)] == []
    assert complaints == []


def keep(page, name: str) -> None:
    """A picture for the person who looks: set SECRETJAX_SCREENSHOTS to a folder."""
    if folder := os.environ.get("SECRETJAX_SCREENSHOTS"):
        page.screenshot(path=str(Path(folder) / f"{name}.png"), full_page=True)


@pytest.mark.parametrize("path", PAGES)
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_every_page_opens_without_a_word(visit, path, scheme):
    page = visit(path, scheme=scheme)
    assert page.locator("h1").count() == 1
    assert page.locator("h1").inner_text().strip()
    keep(page, f"{path.replace('/', '_')}_{scheme}")


@pytest.mark.parametrize("path", PAGES)
def test_no_page_scrolls_sideways_on_a_phone(visit, path):
    page = visit(path, width=375)
    keep(page, f"{path.replace('/', '_')}_phone")
    assert page.evaluate("document.documentElement.scrollWidth") <= 375
    article = "document.querySelector('.bd-article')"
    assert page.evaluate(f"{article}.scrollWidth <= {article}.clientWidth")


@pytest.mark.parametrize("path", PAGES)
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_no_page_keeps_anybody_out(visit, path, scheme):
    """The findings of axe: contrast, names of links and pictures, order of headings and so on."""
    from axe_playwright_python.sync_playwright import Axe

    # preload would ask for each style sheet once more, and for those that do not exist
    found = Axe().run(visit(path, scheme=scheme), options={"preload": False}).response
    assert len(found["passes"]) > 10, "axe has looked"
    told = [
        f"{f['id']}: {f['help']}: {n['html'][:120]}"
        for f in found["violations"]
        if f["impact"] in SERIOUS
        for n in f["nodes"]
    ]
    assert told == []


@pytest.mark.parametrize("width, abreast", [(375, 1), (1280, 2)])
def test_state_diagrams_are_read_at_their_own_size(visit, width, abreast):
    """On a phone one below the other, else side by side; never smaller than they were drawn."""
    page = visit("proposals/balloon", width=width)
    drawn = page.locator(".machines").first.locator("img.machine")
    assert drawn.count() == 2
    shown = "i => [i.getBoundingClientRect().width, i.naturalWidth, i.getBoundingClientRect().top]"
    found = [drawn.nth(i).evaluate(shown) for i in range(2)]
    assert all(natural > 250 and abs(wide - natural) < 1 for wide, natural, _ in found)
    assert len({top for *_, top in found}) == 2 // abreast
    assert all(drawn.nth(i).get_attribute("alt") for i in range(2))


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_figures_are_drawn_on_white(visit, scheme):
    page = visit("notebooks/10_match", scheme=scheme)
    figures = page.locator(".cell_output img")
    assert figures.count() == 2
    for i in range(2):
        figures.nth(i).scroll_into_view_if_needed()
        assert figures.nth(i).evaluate("i => i.complete && i.naturalWidth > 0")
        style = figures.nth(i).evaluate(
            "i => [getComputedStyle(i).backgroundColor, getComputedStyle(i).filter]"
        )
        assert style == ["rgb(255, 255, 255)", "none"]
    assert page.locator("html").get_attribute("data-theme") == scheme


def test_a_script_that_a_name_or_an_output_brings_along_never_runs(chromium, built_site, tmp_path):
    """Even where nobody escaped it: the policy at the top of the page is the second lock."""
    page = (built_site / "notebooks" / "10_match.html").read_text(encoding="utf-8")
    rules = re.findall(r'<meta http-equiv="Content-Security-Policy" content="([^"]+)"', page)[0]
    assert "'unsafe-inline'" not in rules.split("script-src")[1].split(";")[0]
    assert "unsafe-eval" not in rules and "default-src 'none'" in rules
    evil = (
        "<script>document.title = 'stolen'</script><img src=x onerror=\"document.title='stolen'\">"
    )
    shown = page.replace("</h1>", f"</h1>{evil}", 1)
    assert shown != page
    (tmp_path / "evil.html").write_text(shown, encoding="utf-8")
    (tmp_path / "plain.html").write_text(f"<html><body>{evil}", encoding="utf-8")
    context = chromium.new_context()
    try:
        opened = context.new_page()
        opened.goto((tmp_path / "evil.html").as_uri(), wait_until="networkidle")
        assert opened.title() != "stolen" and opened.title()
        opened.goto((tmp_path / "plain.html").as_uri(), wait_until="networkidle")
        assert opened.title() == "stolen", "it would run without the policy"
    finally:
        context.close()


def test_mathematics_is_set(visit):
    page = visit("notebooks/10_match")
    page.wait_for_selector("mjx-container", timeout=20_000)
    assert page.locator("mjx-container").count() == 2


def test_search_finds_a_word_of_a_notebook(visit):
    page = visit("index")
    page.keyboard.press("Control+k")
    page.keyboard.type("zebrafinch")
    page.keyboard.press("Enter")
    found = page.locator("#search-results li a").first
    found.wait_for(timeout=20_000)
    assert "Does the model match" in found.inner_text()
    found.click()
    page.wait_for_load_state("networkidle")
    assert "zebrafinch" in page.locator("main").inner_text()


def test_it_opens_from_a_folder_too(visit, built_site):
    page = visit("index", base=built_site.as_uri())
    page.get_by_role("link", name="Questions").first.click()
    page.wait_for_load_state("networkidle")
    assert page.locator("h1").inner_text().startswith("Questions")


def test_the_theme_can_be_switched(visit):
    page = visit("index", scheme="light")
    page.locator("button.theme-switch-button").first.click()
    page.locator("button.theme-change-button[data-mode=dark]").first.click()
    assert page.locator("html").get_attribute("data-theme") == "dark"
