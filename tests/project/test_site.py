"""The site: built from a run folder, whole or not at all, and quiet on the network."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from markdown_it import MarkdownIt

from secretjax import cli, proposals
from secretjax.errors import UserError
from secretjax.show import catalogue, figures, notebook, site, site_source, standing, style
from secretjax.study import runs
from tests import expect, fake_run
from tests.project.conftest import make_run

ZEPPELIN = '''
"""A proposal as one drops it in."""

from dataclasses import dataclass

from secretjax.proposals.per_page import PerPage


@dataclass(frozen=True)
class Zeppelin(PerPage):
    """Pages that fly.

    Not modelled: fuel.
    """

    name = "zeppelin"
    label = "rigid airship"
    source = "a thread of 2032"
    slot = 8


PROPOSAL = Zeppelin
'''


def text(page: Path) -> str:
    return page.read_text(encoding="utf-8")


def test_the_landing_page_asks_the_question_and_answers_it(built_site):
    page = text(built_site / "index.html")
    assert "Who is refused, and when?" in page
    assert "growth, at grow_30" in page and "2 MiB split, entries" in page
    marked = f"<td>balloon+reservation{standing.MARK}</td>"
    assert page.index("<td>per_page</td>") < page.index(marked), "as in the params"
    assert f"<p>{standing.NOTE}</p>" in page
    assert '20.25<br><span class="interval">18 to 22.5</span>' in page
    assert "1,234,568" in page
    assert "undetermined" in page and "% &lt;of memory" in page
    assert re.search(r"<img[^>]*answer\.svg", page)


def test_the_landing_page_begins_with_the_comparison_with_the_kernel(built_site, run, tmp_path):
    page = text(built_site / "index.html")
    assert page.index("got the very pfn") < page.index("Claims, and whether they hold")
    assert page.index("agree within their tolerance") < page.index("Claims, and")
    assert re.search(r"<img[^>]*kernel\.svg", page) and "whether it really does" not in page
    replay, predict = (run / name for name in runs.KERNEL_FILES)
    predict.write_bytes(b"damaged")
    with pytest.raises(UserError, match="kernel_predict"):
        site_source.write(run, tmp_path / "source")
    replay.unlink()
    predict.unlink()
    site_source.write(run, tmp_path / "other")
    assert "whether it really does" in text(tmp_path / "other" / "index.md")


def test_the_landing_page_has_the_claims_before_the_numbers(built_site):
    page = (built_site / "index.html").read_text()
    assert page.index("Is it &lt;so&gt;?") < page.index("The answer in numbers")
    assert "<strong>In part</strong>" in page and "<code>per_page</code> is lower" in page
    assert 'href="notebooks/10_match.html">10</a>' in page and "<td>99</td>" in page


def test_the_params_and_the_package_are_explained_from_their_source(built_site):
    keys = (built_site / "params.html").read_text()
    for name in ("ageing_events", "admission_options", "collapse", "kernel_cases"):
        assert f">{name}</span>" in keys, name
    assert "<td><p>-</p></td>" not in keys, "a key without a word"
    package = (built_site / "api" / "flow.html").read_text()
    assert "secretjax.flow" in package and 'class</span> <span class="pre">Flow' in package


def test_the_map_of_the_package_and_the_guides_are_there(built_site):
    page = text(built_site / "guides" / "architecture.html")
    assert re.search(r'<img alt="The parts[^>]*src="\.\./_images/architecture\.svg"', page)
    assert (built_site / "_images" / "architecture.svg").is_file()
    index = text(built_site / "guides" / "index.html")
    for kind in ("proposal", "workload", "metric", "figure", "notebook"):
        assert f'href="add_a_{kind}.html">Add a {kind}</a>' in index
        shown = re.sub("<[^>]+>", "", text(built_site / "guides" / f"add_a_{kind}.html"))
        assert f"secretjax list {kind}s" in shown
    assert 'href="guides/index.html"' in text(built_site / "index.html")


def test_a_notebook_page_holds_its_figures_and_hides_its_parameters(built_site):
    page = text(built_site / "notebooks" / "10_match.html")
    assert len(re.findall(r"<img[^>]*_images/[^>]*\.(?:png|svg)", page)) == 2
    assert "not/to/be/shown" not in page
    assert "3/3" not in page, "progress bars are no result"
    assert "widget-view" not in page


def test_a_made_up_proposal_has_a_page_of_its_own(built_site):
    page = text(built_site / "proposals" / "balloon.html")
    assert "Balloons &amp; pages" in page and "a thread of 2031" in page
    assert "Not modelled" in page and "The &lt;wind&gt;" in page
    assert "gas_pages" in page and "512" in page
    index = text(built_site / "proposals" / "index.html")
    assert "balloon.html" in index and "Not validated against a kernel." in index


def test_its_page_says_that_no_capture_covers_it_and_draws_what_it_does(built_site):
    page = text(built_site / "proposals" / "balloon.html")
    assert "Not validated against a kernel." in page
    plain, hot = page.split('id="with-hot-true"', 1)
    drawn = re.compile(r'<img alt="([^"]+)"[^>]*src="\.\./_images/(balloon[^"]*\.svg)"')
    fault, release = drawn.findall(plain)
    assert fault[0].startswith("A page is touched: then, allocate 1 page.")
    assert release[0] == "A page of a file goes: then, give back. give back: then, done."
    (again,) = drawn.findall(hot)
    assert again[0].count("then, give back.") == 2, "only what the option changes"
    for _, file in (fault, release, again):
        assert (built_site / "_images" / file).is_file()


def test_a_proposal_is_one_file_and_all_else_follows(run, tmp_path, monkeypatch, capsys):
    """Its page, diagram, place in the list, figure and contracts: nothing else is edited."""
    (tmp_path / "new").mkdir()
    (tmp_path / "new" / "zeppelin.py").write_text(ZEPPELIN)
    monkeypatch.setattr(proposals, "__path__", [*proposals.__path__, str(tmp_path / "new")])
    proposals.table.cache_clear()
    try:
        assert "zeppelin" in proposals.names(), "what the contracts run over"
        site_source.write(run, tmp_path / "source")
        monkeypatch.setattr(sys, "argv", ["secretjax", "list", "proposals"])
        with pytest.raises(SystemExit):
            cli.main()
        study = notebook.open(*fake_run.make(tmp_path / "fake", ("keep_mapped", "zeppelin")))
        figure = figures.table()["answer"](study)
        told = [t.get_text() for t in figure.axes[0].get_yticklabels()]
        shown = expect.said(study.plugins("proposals"))
    finally:
        sys.modules.pop("secretjax.proposals.zeppelin", None)
        proposals.table.cache_clear()
        style.plt.close("all")
    page = text(tmp_path / "source" / "proposals" / "zeppelin.md")
    for needed in ("a thread of 2032", "Fuel", "Not validated against a kernel.", "zeppelin-0.svg"):
        assert needed in page
    assert (tmp_path / "source" / "proposals" / "zeppelin-0.png").stat().st_size > 1000
    (line,) = [x for x in capsys.readouterr().out.splitlines() if x.startswith("zeppelin")]
    assert line.endswith("Pages that fly. Not validated against a kernel.")
    assert told == ["kept mapped (baseline)", f"rigid airship{standing.MARK}"]
    assert "Pages that fly." in shown


def test_provenance_shows_the_manifest_and_offers_the_data(built_site):
    page = text(built_site / "provenance.html")
    assert "arms.per_page.proposal" in page and "0.10.2" in page
    assert re.search(r'href="_downloads/[0-9a-f]+/manifest.json"', page)


def test_no_page_names_anything_to_load_from_another_host(built_site):
    assert list(site.foreign(built_site)) == []
    assert len(list(built_site.rglob("*.html"))) >= 6


@pytest.mark.parametrize(
    "markup",
    [
        '<script src="https://cdn.example/x.js"></script>',
        '<link rel="stylesheet" href="//fonts.example/x.css">',
        "<style>@import 'https://fonts.example/x.css';</style>",
        '<p style="background: url(http://example/x.png)">x</p>',
        '<img srcset="https://example/x.png 2x">',
        '<img srcset="a.png, //example/b.png 2x">',
        '<img srcset="a.png 1x,//example/b.png 2x">',
        '<meta http-equiv="Refresh" content="0;url=https://example/">',
        """<meta http-equiv="refresh" content="5; URL='//example/x'">""",
    ],
)
def test_a_page_that_would_load_from_another_host_is_found(tmp_path, markup):
    (tmp_path / "x.html").write_text(f"<html><body>{markup}</body></html>")
    assert [page for page, _ in site.foreign(tmp_path)] == ["x.html"]


def test_a_link_to_click_is_not_a_request(tmp_path):
    (tmp_path / "x.html").write_text(
        '<a href="https://example/thread">the thread</a><img srcset="data:x;base64,//8A, b.png 2x">'
        '<meta http-equiv="refresh" content="0; url=index.html">'
    )
    assert list(site.foreign(tmp_path)) == []


def test_a_failing_build_leaves_the_previous_site(run, made_up, tmp_path, monkeypatch):
    out = tmp_path / "site"
    out.mkdir()
    (out / site.MARK).write_text("old\n")
    (out / "index.html").write_text("the old one")

    def break_it(command: list[str], **options: object) -> subprocess.CompletedProcess[str]:
        return subprocess.CompletedProcess(command, 2, "", "Extension error: made up")

    monkeypatch.setattr(subprocess, "run", break_it)
    with pytest.raises(UserError, match="old one is untouched: Extension error: made up"):
        site.publish(run, out)
    assert text(out / "index.html") == "the old one"
    assert [p.name for p in tmp_path.iterdir() if p.name.endswith(".part")] == []


@pytest.mark.parametrize("can_exchange", [True, False])
def test_a_new_site_replaces_the_old_one_whole(tmp_path, monkeypatch, can_exchange):
    built, out, old = tmp_path / "built", tmp_path / "site", tmp_path / "old"
    for folder, name in ((built, "new.html"), (out, "gone.html")):
        folder.mkdir()
        (folder / name).touch()
    if not can_exchange:
        monkeypatch.setattr(site, "_exchange", lambda one, other: False)
    site._swap(built, out, old)
    assert [p.name for p in out.iterdir()] == ["new.html"]
    assert [p.name for p in old.iterdir()] == ["gone.html"]


def test_a_folder_with_other_files_is_never_replaced(run, tmp_path):
    (tmp_path / "thesis").mkdir()
    (tmp_path / "thesis" / "chapter.tex").write_text("years of work")
    with pytest.raises(UserError, match="name another folder with --site"):
        site.publish(run, tmp_path / "thesis")
    assert text(tmp_path / "thesis" / "chapter.tex") == "years of work"


def test_the_newest_run_is_taken(tmp_path):
    for age, name in ((200, "older"), (100, "newer"), (300, "oldest")):
        manifest = make_run(tmp_path, name) / "manifest.json"
        moment = 1_700_000_000 - age
        os.utime(manifest, (moment, moment))
    assert site.run_folder(tmp_path).name == "newer"
    assert site.run_folder(tmp_path / "tiny").name == "newer"
    assert site.run_folder(tmp_path / "tiny" / "oldest").name == "oldest"


def test_without_a_run_the_sentence_says_what_to_do(tmp_path):
    with pytest.raises(UserError, match=r"no finished run here.*make results"):
        site.publish(tmp_path, tmp_path / "site")


@pytest.mark.parametrize("content", ["", "[1]", '{"a": '])
def test_a_damaged_manifest_is_named(run, tmp_path, content):
    (run / "manifest.json").write_text(content)
    with pytest.raises(UserError, match=r"manifest\.json: "):
        site.publish(run, tmp_path / "site")


def test_a_damaged_notebook_is_named(run, tmp_path):
    (run / "notebooks" / "10_match.ipynb").write_text("{}")
    with pytest.raises(UserError, match=r"10_match\.ipynb: no notebook"):
        site.publish(run, tmp_path / "site")


def test_docstrings_survive_as_prose():
    raw = "Costs $3 and $4, see <linux/mm.h> and `a <b> $c`, {role}`x`, [1]."
    escaped = site_source.prose(raw)
    assert "`a <b> $c`" in escaped
    assert r"\$3" in escaped and r"\<linux" in escaped and r"\{role" in escaped


@pytest.mark.parametrize(
    "raw",
    [
        r"\<img src=x>", "``<b>x`", "` `` ` <b>`", "`\nx` <b>`", "`a\n<b>`", "`<b>``", "\\`<b>\\`",
        r"\`<b> `x`", "```\n<b>",
    ],
)  # fmt: skip
def test_no_text_is_markup(raw):
    for text in (raw, f"x {raw} y"):
        shown = MarkdownIt("commonmark").render(site_source.prose(text))
        assert not re.search("<(img|b)[ >]", shown), shown
        assert "&lt;img src=x&gt;" in shown or "&lt;b&gt;" in shown


def test_a_bar_ends_no_cell_of_a_table():
    for raw in ("`a|<b>x`", "a|<b>x", r"`a\|<b>x`"):
        page = f"| what |\n| --- |\n| {site_source.cell(raw)} |\n"
        shown = MarkdownIt("commonmark").enable("table").render(page)
        assert shown.count("<td>") == 1 and "|&lt;b&gt;x" in shown


def test_what_is_not_modelled_is_set_off():
    body = site_source._body("One sentence.\n\nNot modelled: the TLB,\nnor CPUs.\n\nMore.")
    assert ":::{admonition} Not modelled\n:class: warning\nThe TLB,\nnor CPUs.\n:::" in body
    assert body.endswith("More.")


def test_every_real_plug_in_makes_a_page_without_a_warning(run, tmp_path):
    site_source.write(run, tmp_path / "source")
    for kind, prefix in (("proposals", ""), ("admissions", "admissions-")):
        entries = catalogue.entries(kind)
        assert entries
        for entry in entries:
            page = text(tmp_path / "source" / "proposals" / f"{prefix}{entry.name}.md")
            assert page.startswith(f"# {site_source.prose(entry.label)}\n")
    command = [sys.executable, "-m", "sphinx", "-q", "-W", "-b", "dummy", "source", "built"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
