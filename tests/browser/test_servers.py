"""The harness itself: each front end runs a notebook, shows a widget and shares its kernel; a token is asked for."""

from pathlib import Path

import pytest
from servers import missing

SLIDER = "import ipywidgets\nslider = ipywidgets.IntSlider(3, description='depth')\nslider"


@pytest.mark.parametrize("front_end", ["lab", "notebook", "voila"])
def test_a_widget_moved_in_the_browser_moves_in_the_kernel(opened, write, front_end):
    with opened(front_end, write(SLIDER)) as (page, kernel):
        page.locator(".widget-slider .noUi-base").click()
        kernel.until("slider.value == 50")
        kernel.run("slider.value = 7")
        page.get_by_text("7", exact=True).wait_for()


def test_without_the_token_voila_shows_nothing_and_starts_nothing(voila, write):
    name = write("print('secret page')")
    assert "secret page" not in voila.ask(f"/voila/render/{name}", token=False)[1]
    assert voila.ask("/api/kernels/0-0-0-0-0", token=False)[0] == 403
    assert "secret page" in voila.ask(f"/voila/render/{name}")[1]


SERVED = ("/voila/static/voila.js", "/voila/api/themes/@jupyterlab/theme-light-extension/index.css", "/voila/labextensions/{}", "/voila/templates/lab/static/index.css")
FILES = ("/voila/files/private/holiday.jpg", "/voila/files/plain.svg", "/voila/files/../secret.png", "/files/private/holiday.jpg", "/voila/files/")


@pytest.fixture(scope="module")
def beside(folder):
    """Photographs beside the notebooks."""
    (folder / "private").mkdir(exist_ok=True)
    for name in ("private/holiday.jpg", "plain.svg", "secret.png"):
        (folder / name).write_text("a holiday")


def test_nothing_is_served_without_the_token_or_by_another_name_of_the_host(voila, write, beside):
    name = write("print('secret page')")
    widgets = "@jupyter-widgets/jupyterlab-manager/package.json"
    paths = [path.format(widgets) for path in SERVED] + [f"/voila/render/{name}", "/", "/voila/tree", "/voila/api/contents"]
    known = {path: voila.ask(path) for path in paths}
    assert known[paths[0]][0] == known[paths[2]][0] == known[paths[4]][0] == known["/"][0] == 200
    for path in [*paths, *FILES, "/api/kernels/0-0-0-0-0/channels", "/nowhere"]:
        for host in ("evil.example", "evil.example:8866", "127.0.0.1.evil.example", "10.0.0.7", "[2001:db8::1]"):
            for token in (True, False):
                status, text = voila.ask(path, token=token, host=host)
                assert status in (403, 404) and (path not in known or text != known[path][1]), (path, host, token)
        status, text = voila.ask(path, token=False)
        assert status in (403, 404) or "password_input" in text or "Token authentication" in text, path
        assert (path not in known or text != known[path][1]) and "secret page" not in text
    assert voila.ask("/login", host="evil.example")[0] == 403


def test_no_file_beside_the_notebooks_is_served(voila, beside):
    for path in FILES:
        status, text = voila.ask(path)
        assert status in (403, 404) and "a holiday" not in text, path


def test_every_kind_of_request_is_asked_who_comes():
    from jupyter_server.base.handlers import JupyterHandler

    from foir_lib.view.demo import SETTINGS, Demo

    demo = Demo(config=SETTINGS)
    demo.initialize([str(Path(__file__).parent), "--no-browser"])
    demo.connection_dir = ""
    demo.init_settings()
    handlers = demo.init_handlers()
    others = [path for path, handler, *_ in handlers if "Asking" not in handler.__qualname__]
    assert len(handlers) >= 10 and others == [r"/login", r"/logout"]
    assert all(issubclass(handler, JupyterHandler) for _, handler, *_ in handlers)
    given = demo.tornado_settings
    assert given["allow_remote_access"] is given["allow_unauthenticated_access"] is False


def test_a_browser_that_was_promised_is_not_skipped(monkeypatch):
    monkeypatch.setenv("CI", "1")
    monkeypatch.setenv("FOIR_BROWSER", "1")
    with pytest.raises(pytest.fail.Exception, match="no browser"):
        missing("no browser")
    monkeypatch.delenv("FOIR_BROWSER")
    with pytest.raises(pytest.skip.Exception, match="no browser"):
        missing("no browser")
