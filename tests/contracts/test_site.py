"""The site of README, docs/ and notebooks: every link leads somewhere, every page is in the navigation, nobody else is asked."""

import re
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

import nbformat
import pytest
from servers import chromium, missing

ROOT = Path(__file__).resolve().parents[2]
TEXTS = [path for pattern in ("*.md", "docs/*.md", "tests/*.md", "data_manifests/**/*.md") for path in sorted(ROOT.glob(pattern))]
NOTEBOOKS = [path for path in sorted((ROOT / "notebooks").rglob("*.ipynb")) if ".ipynb_checkpoints" not in path.parts]
LINK = re.compile(r"\]\(([^()\s]+)\)")


def words(path):
    """The Markdown of a page or of a notebook's cells, without its code."""
    if path.suffix == ".md":
        text = path.read_text(encoding="utf-8")
    else:
        text = "\n\n".join(cell.source for cell in nbformat.read(path, as_version=4).cells if cell.cell_type == "markdown")
    return re.sub(r"^```.*?^```|`[^`\n]*`", "", text, flags=re.MULTILINE | re.DOTALL)


@pytest.mark.parametrize("path", [*TEXTS, *NOTEBOOKS], ids=lambda path: path.relative_to(ROOT).as_posix())
def test_relative_links_lead_to_files_of_the_repository(path):
    for link in LINK.findall(words(path)):
        if not urlsplit(link).scheme and (file := unquote(urlsplit(link).path)):
            assert (path.parent / file).resolve().is_relative_to(ROOT) and (path.parent / file).exists(), link


class Parts(HTMLParser):
    """What a page of the site loads, links to, and can be linked to by."""

    def __init__(self, text):
        super().__init__()
        self.loads, self.links, self.ids, self.alts = [], [], {""}, []
        self.feed(text)

    def handle_starttag(self, tag, attributes):
        given = dict(attributes)
        self.ids |= {given[name] for name in ("id", "name") if given.get(name)}
        if tag == "a":
            self.links.append(given.get("href") or "")
        else:
            self.loads += [given[name] for name in ("src", "href") if given.get(name)]
        if tag == "img":
            self.alts.append(given.get("alt"))


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    """The folder of the site as ``make docs`` builds it: a warning is an error."""
    folder = tmp_path_factory.mktemp("site")
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--quiet", "--site-dir", str(folder)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-3000:]
    return folder


@pytest.fixture(scope="module")
def pages(site):
    return {path: Parts(path.read_text(encoding="utf-8")) for path in site.rglob("*.html") if path.name != "404.html"}


@pytest.mark.slow
def test_every_text_and_notebook_is_a_page_and_in_the_navigation(site, pages):
    (home,) = [parts for path, parts in pages.items() if path == site / "index.html"]
    named = {(site / urlsplit(link).path).resolve() for link in home.links}
    for source in [*TEXTS, *NOTEBOOKS]:
        path = site / source.relative_to(ROOT).with_suffix(".html")
        assert (path.with_name("index.html") if source.name == "README.md" else path).resolve() in named, source
    assert len(pages) == len(TEXTS) + len(NOTEBOOKS)


@pytest.mark.slow
def test_links_resolve_and_nothing_is_loaded_from_elsewhere(site, pages):
    for path, parts in pages.items():
        assert all(parts.alts), f"{path}: a picture without words"
        for link in parts.loads + parts.links:
            where = urlsplit(link)
            if where.scheme or where.netloc:
                assert link in parts.links and link not in parts.loads or where.scheme == "data", f"{path} loads {link}"
                continue
            target = (path.parent / unquote(where.path)).resolve() if where.path else path
            assert target.is_file() and target.is_relative_to(site.resolve()), f"{path}: {link}"
            if where.fragment and target.suffix == ".html":
                assert unquote(where.fragment) in pages[target].ids, f"{path}: {link}"
    for css in site.rglob("*.css"):
        assert not re.search(r"url\([\"']?https?:|@import", css.read_text(encoding="utf-8")), css


@pytest.mark.slow
def test_lessons_show_their_kept_outputs_and_formulas(site, pages):
    lesson = (site / "notebooks" / "10_attention_heads.html").read_text(encoding="utf-8")
    kept = nbformat.read(ROOT / "notebooks" / "10_attention_heads.ipynb", as_version=4)
    pictures = [out for cell in kept.cells for out in cell.get("outputs", []) if {"image/png", "image/jpeg"} & set(out.get("data", {}))]
    tables = [out for cell in kept.cells for out in cell.get("outputs", []) if "<table" in out.get("data", {}).get("text/html", "")]
    opening = sum(len(cell.get("attachments", {})) for cell in kept.cells)
    assert lesson.count("<img alt=") == len(pictures) + opening > opening == 1 and lesson.count("class=\"dataframe") >= len(tables) > 0
    assert lesson.count("<math ") > 3 and "arithmatex" not in lesson and not re.search(r"\$[\\A-Z]", lesson)


@pytest.mark.slow
@pytest.mark.browser
def test_the_site_in_a_browser_asks_nobody_and_finds_words(site):
    """From the disk, as whoever got the folder opens it: light and dark, wide and narrow; the search's answer opens."""
    sync_api = pytest.importorskip("playwright.sync_api")
    if not (program := chromium()):
        missing("no Chromium on PATH: install Debian's chromium or name one in FOIR_CHROMIUM")
    address, asked, errors = site.as_uri() + "/", [], []
    with sync_api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=program, args=["--no-sandbox", "--disable-gpu"])
        for scheme, width in (("dark", 390), ("light", 1280)):
            page = browser.new_page(color_scheme=scheme, viewport={"width": width, "height": 800})
            page.on("request", lambda request: asked.append(request.url))
            page.on("pageerror", lambda error: errors.append(error))
            for name in ("index.html", "docs/benchmarks.html", "notebooks/10_attention_heads.html"):
                page.goto(address + name, wait_until="load")
                assert page.evaluate("document.documentElement.scrollWidth <= innerWidth"), f"{name} overflows at {width}"
                colours = page.evaluate("[...getComputedStyle(document.body).backgroundColor.matchAll(/\\d+/g)].map(Number)")
                assert (max(colours[:3]) < 100) == (scheme == "dark")
        page.goto(address + "index.html", wait_until="load")
        page.locator(".md-search__input").first.fill("clusters of cells")
        page.locator(".md-search-result__link").first.click()
        page.wait_for_url(lambda url: "/notebooks/" in url or "/docs/" in url)
        browser.close()
    assert not errors and all(url.startswith((address, "data:", "blob:", "about:")) for url in asked), (errors, asked)
