"""What a page of the site may load and run, told to the browser in the page itself.

Scripts are the theme's files, and inline only those whose hash the page names. Those are the ones
in its head: whatever a notebook's output or a name in a case brings along never runs.
"""

import base64
import hashlib
from html.parser import HTMLParser
from pathlib import Path

HEAD, SEARCH = "<head>", "search.html"  # the page of the search is the theme's as a whole
# file: opened from a folder, a page has no origin. Styles: mathematics is set with inline ones.
RULES = {
    "default-src": "'none'",
    "script-src": "'self' file:",
    "style-src": "'self' file: 'unsafe-inline'",
    "img-src": "'self' file: data:",
    "font-src": "'self' file: data:",
    "connect-src": "'self' file:",
    "form-action": "'self' file:",
    "base-uri": "'none'",
}


def seal(site: Path) -> None:
    """Puts its policy at the top of every page of the built site."""
    for file in sorted(site.rglob("*.html")):
        page = file.read_text(encoding="utf-8")
        ours = page if file == site / SEARCH else page.partition("</head>")[0]
        meta = f'<meta http-equiv="Content-Security-Policy" content="{policy(ours)}">'
        file.write_text(page.replace(HEAD, f"{HEAD}\n    {meta}", 1), encoding="utf-8")


def policy(ours: str) -> str:
    """`RULES`, and the hashes of the inline scripts in the part of a page that is the theme's."""
    found = _Inline()
    found.feed(ours)
    hashes = [f"'sha256-{_hash(script)}'" for script in dict.fromkeys(found.scripts)]
    rules = RULES | {"script-src": " ".join([RULES["script-src"], *hashes])}
    return "; ".join(f"{name} {value}" for name, value in rules.items())


def _hash(script: str) -> str:
    return base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()


class _Inline(HTMLParser):
    """The texts of inline scripts."""

    def __init__(self) -> None:
        super().__init__(convert_charrefs=False)
        self.scripts: list[str] = []
        self._inside = False

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag == "script" and "src" not in dict(attrs):
            self._inside = True
            self.scripts.append("")

    def handle_endtag(self, tag: str) -> None:
        self._inside = self._inside and tag != "script"

    def handle_data(self, data: str) -> None:
        if self._inside:
            self.scripts[-1] += data
