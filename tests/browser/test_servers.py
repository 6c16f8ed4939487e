"""The harness itself: each front end runs a notebook, shows a widget and shares its kernel; a token is asked for."""

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


def test_a_browser_that_was_promised_is_not_skipped(monkeypatch):
    monkeypatch.setenv("CI", "1")
    monkeypatch.setenv("FOIR_BROWSER", "1")
    with pytest.raises(pytest.fail.Exception, match="no browser"):
        missing("no browser")
    monkeypatch.delenv("FOIR_BROWSER")
    with pytest.raises(pytest.skip.Exception, match="no browser"):
        missing("no browser")
