"""A real Chromium, real Jupyter servers and their kernels; every test asserts from the page and from the kernel.

FOIR_CHROMIUM      the browser's program (default: the first of chromium, chromium-browser, google-chrome on PATH)
FOIR_SCREENSHOTS   a folder: every test leaves a picture of its page there
FOIR_BROWSER=1     a browser is there (.ci/run says so): what would be a skip is a failure
"""

import re
import sys
from contextlib import contextmanager
from pathlib import Path

import nbformat
import pytest
from nbformat.v4 import new_code_cell, new_notebook
from servers import Server, chromium, missing, picture, running

FLAGS = ("no-sandbox", "disable-gpu", "disable-quic", "no-first-run", "disable-background-networking")
FLAGS += ("disable-component-update", "disable-sync", "force-color-profile=srgb", "font-render-hinting=none")
LOCAL = re.compile(r"(?:https?|wss?)://(?:127\.0\.0\.1|localhost)[:/]|(?:data|blob|about|file|chrome[\w-]*):")
WAIT = 300_000  # milliseconds; machines are busy


def pytest_collection_modifyitems(items):
    here = Path(__file__).parent
    for item in items:
        if here in item.path.parents:
            item.add_marker(pytest.mark.slow)
            item.add_marker(pytest.mark.browser)


@pytest.fixture(scope="module")
def browser():
    """Chromium, one per file: Playwright's loop must not run beside other files' tests."""
    try:
        from playwright.sync_api import sync_playwright
    except ImportError:
        missing("no Playwright: pip install playwright (a browser of its own isn't needed)")
    if not (program := chromium()):
        missing("no Chromium on PATH: install Debian's chromium or name one in FOIR_CHROMIUM")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=program, args=[f"--{flag}" for flag in FLAGS])
        yield browser
        browser.close()


@pytest.fixture(scope="session")
def folder(tmp_path_factory):
    """The servers' root folder."""
    return tmp_path_factory.mktemp("notebooks")


@pytest.fixture(scope="session")
def jupyter(folder, tmp_path_factory):
    """JupyterLab and Notebook 7 in one server: ``/lab/tree/...`` and ``/notebooks/...``."""
    words = [sys.executable, "-m", "jupyterlab", "--no-browser", "--allow-root", f"--ServerApp.root_dir={folder}"]
    words += ["--ServerApp.port=PORT", "--IdentityProvider.token=TOKEN"]
    words += [f"--{app}.expose_app_in_browser=True" for app in ("LabApp", "JupyterNotebookApp")]
    with running(words, tmp_path_factory.mktemp("jupyter")) as server:
        yield server


@pytest.fixture(scope="session")
def voila(folder, tmp_path_factory):
    """The workbook's Voila over the same folder: ``/voila/render/...``."""
    words = [sys.executable, "-m", "foir_lib.view.demo", str(folder), "--no-browser", "--port=PORT", "--token=TOKEN"]
    with running(words, tmp_path_factory.mktemp("voila")) as server:
        yield server


@pytest.fixture
def write(folder, request):
    """``write(*cells) -> name`` of a new notebook in the servers' folder; a cell is a str of code."""
    count = iter(range(100))

    def write(*cells):
        name = re.sub(r"\W+", "_", f"{request.node.name}_{next(count)}") + ".ipynb"
        kernel = {"name": "python3", "display_name": "Python 3", "language": "python"}
        notebook = new_notebook(cells=[new_code_cell(cell) for cell in cells], metadata={"kernelspec": kernel})
        nbformat.write(notebook, folder / name)
        return name

    return write


@pytest.fixture
def pages(browser, request):
    """``pages(width=1280, height=900, **context options) -> Page``; nothing may be asked of another host."""
    opened, strangers = [], []

    def stranger(request):
        if not LOCAL.match(request.url):  # also one that the page's policy refused
            strangers.append(request.url)

    def page(width=1280, height=900, **options):
        context = browser.new_context(viewport={"width": width, "height": height}, **options)
        context.set_default_timeout(WAIT)
        page = context.new_page()
        for event in ("requestfinished", "requestfailed"):
            page.on(event, stranger)
        page.on("websocket", lambda socket: LOCAL.match(socket.url) or strangers.append(socket.url))
        page.on("dialog", lambda dialog: dialog.accept())
        opened.append(context)
        return page

    yield page
    for context in opened:
        context.close()
    assert not strangers, f"asked of other hosts: {strangers}"


@pytest.fixture
def opened(pages, request):
    """``with opened("lab"|"notebook"|"voila", name, **page options) as (page, kernel)``: open, run all, wait."""

    @contextmanager
    def opened(front_end, name, theme="light", **options):
        server: Server = request.getfixturevalue("voila" if front_end == "voila" else "jupyter")
        page = pages(**options)
        try:
            kernel = getattr(server, f"open_in_{front_end}")(page, name, theme)
            yield page, kernel
            picture(page, request.node.name)
        except BaseException:
            picture(page, f"{request.node.name} failed")
            raise
        finally:
            server.stop()

    return opened
