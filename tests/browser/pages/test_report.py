"""Copy buttons of a report that is opened as a file: what lies on the clipboard is what stands in the files."""

import pandas as pd
import pytest

from foir_lib.bench import measured
from foir_lib.bench.runs import report
from foir_lib.bench.runs.page import Page

pytestmark = pytest.mark.browser


def test_buttons_copy_latex_and_csv_from_a_file(browser, tmp_path):
    report.save(measured.measured("ca-7"), "ca-7", tmp_path)
    report.save(measured.measured("ra-3"), "ra-3", tmp_path)
    page = browser.new_context().new_page()
    problems = []
    page.on("console", lambda message: problems.append(message.text))
    page.on("pageerror", lambda error: problems.append(str(error)))
    page.goto(Page(tmp_path).write().as_uri())
    for file in ("ca-7.tex", "ca-7-wide.csv", "ca-7-paper.csv", "ra-3.tex"):
        button = page.locator(f'button[data-copy="{file}"]')
        button.click()
        page.wait_for_function("button => button.nextElementSibling.textContent === 'copied'", arg=button.element_handle())
        page.evaluate("document.body.prepend(document.createElement('textarea'))")
        page.locator("textarea").focus()
        page.keyboard.press("ControlOrMeta+V")
        assert page.locator("textarea").input_value() == (tmp_path / file).read_text(encoding="utf-8")
        page.evaluate("document.querySelector('textarea').remove()")
    assert page.locator("#paper td").filter(has_text="similarity flows through look-alikes").count() == 3
    assert page.locator('button[data-copy="ra-3-paper.csv"]').count() == 1
    assert not problems
    assert len(pd.read_csv(tmp_path / "ca-7-paper.csv")) == 14
