"""The user study in a real browser: a person begins, picks three of twelve, and the answer with its time is on disk."""

import pytest
from servers import picture

STUDY = """import tempfile
from pathlib import Path
from foir_lib import load_model, load_set
from foir_lib.retrievers.corpus import Corpus
from foir_lib.view.study.page import Study
town = load_set("mini-landmarks", seed=2, n_landmarks=18, n_queries=18, n_database=72)
study = Study(Corpus(town, load_model("mini-cnn", device="cpu"), progress=False), Path(tempfile.mkdtemp(), "study.csv"))
study"""


@pytest.mark.parametrize("front_end", ["voila"])
def test_a_person_answers_and_the_time_is_measured_on_the_page(opened, write, front_end, request):
    with opened(front_end, write(STUDY, "study.state['question']"), height=760) as (page, kernel):
        page.get_by_role("button", name="Begin").click()
        root = page.locator("[data-foir=picks]")
        page.locator("[data-painted=true]").wait_for()
        submit, items = root.locator("[data-action=submit]"), root.locator("[data-item]")
        assert items.count() == 12 and submit.is_disabled() and "0 picked" in submit.inner_text()
        picture(page, f"{request.node.name} asked")
        number = kernel.value("study.state['question']")
        true = kernel.value("sorted(study.questions[study.state['question']].true)")
        wrong = next(at for at in range(12) if at not in true)
        for at in (*true[:2], wrong, true[2]):  # a fourth isn't taken
            items.nth(at).click()
        assert root.locator("[aria-pressed=true]").count() == 3 and submit.is_enabled()
        items.nth(wrong).click()
        assert submit.is_disabled()
        items.nth(true[2]).click()
        page.wait_for_timeout(1500)
        submit.click()
        kernel.until("study.state['answered'] == 1")
        row = kernel.value("study.record.rows().iloc[0][['question', 'picks', 'seconds', 'correct']].astype(object).map(lambda v: v.item() if hasattr(v, 'item') else v).tolist()")
        assert row[0] == str(number) and row[1] == " ".join(map(str, true)) and 1.5 < row[2] < 600 and row[3] == 3
        page.locator("[data-painted=true]").wait_for()
        picture(page, f"{request.node.name} next")
        kernel.run("study.todo = study.todo[-1:]; study.show()")
        page.locator("[data-painted=true]").wait_for()
        picture(page, f"{request.node.name} other half")
        for at in range(3):
            items.nth(at).click()
        submit.click()
        page.get_by_role("button", name="6", exact=True).click()
        page.get_by_role("button", name="Send").click()
        kernel.until("study.state['text'] == 'Thank you.'")
        people = page.locator("[data-foir=people]")
        assert people.locator("tbody tr td:first-child").all_inner_texts()[0] == "human" and people.locator("tbody tr").count() == 3
        page.locator(".foir-people input").fill("GeM")
        page.locator(".foir-people input").press("Tab")
        page.get_by_role("button", name="compare").click()
        people.locator("tbody tr", has_text="GeM").wait_for()
        beside = kernel.value("study.beside(['GeM']).set_index('method')['ours'].round(1).to_dict()")
        cells = {row.locator("td").nth(0).inner_text(): row.locator("td").nth(1).inner_text() for row in people.locator("tbody tr").all()}
        assert cells == {name: f"{value:.1f} %" for name, value in beside.items()}
        picture(page, f"{request.node.name} people")
        assert kernel.value("float(study.results().set_index('what').loc['helpful, 1 to 7', 'ours'])") == 6
