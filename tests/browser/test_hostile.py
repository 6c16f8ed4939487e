"""Hostile names in every explorer, table and report of a real browser: nothing runs, nobody is asked, the text is there."""

import json
from pathlib import Path

import pandas as pd
import pytest
from hostile import NAMES
from servers import picture

from foir_lib.bench.runs import report
from foir_lib.bench.runs.page import Page
from foir_lib.data.values import label
from foir_lib.text import LABEL, one_line

SET = f"""import json, tempfile
from dataclasses import replace
from pathlib import Path
import numpy as np, pandas as pd
from PIL import Image
from foir_lib import Box, load_model, load_set
from foir_lib.data import Protocol, RetrievalSet
from foir_lib.notices import Notice
from foir_lib.registry import register
from foir_lib.retrievers.baselines import CBIR
from foir_lib.retrievers.corpus import Corpus
from foir_lib.view import figures
from foir_lib.view.explorers.coattention import CoattentionExplorer
from foir_lib.view.explorers.page import Page
NAMES = list(json.loads({json.dumps(NAMES)!r}).values())
folder, n = Path(tempfile.mkdtemp()), len(NAMES)
for i in range(n):
    pixels = np.random.default_rng(i).integers(0, 256, (8, 12, 3), dtype=np.uint8)
    Image.fromarray(pixels).resize((192, 128)).save(folder / f"{{i}}.png")
ids = [f"{{i}} {{name}}" for i, name in enumerate(NAMES)]
images = pd.DataFrame({{"image_id": ids, "path": [str(folder / f"{{i}}.png") for i in range(n)], "width": 192, "height": 128, "split": "both"}})
objects = pd.DataFrame({{"image_id": ids, "label": NAMES, "x0": 10, "y0": 10, "x1": 90, "y1": 80, "ignore": False, "segmentation": None}})
queries = pd.DataFrame({{"image_id": ids, "prompt": [Box(10, 10, 90, 80)] * n, "label": NAMES, "object": range(n)}})
right = {{name: [i, (i + 1) % n] for i, name in enumerate(NAMES)}}
protocols = {{"contains": Protocol(tuple(NAMES), right, own=np.arange(n), metric="focus")}}
rs = RetrievalSet(NAMES[0], images, objects, queries, protocols, {{}}, tuple(Notice(f"{{name}} left out", 3, name) for name in NAMES))
for name in (NAMES[0], "$x^2$ <b>mine</b>"):
    register("retriever", name)(type("Mine", (CBIR,), {{}}))
vit, cnn = load_model("mini-vit"), load_model("mini-cnn")"""
EMOJI = "\U0001f469\u200d\U0001f469\u200d\U0001f467 \u2615\ufe0f \U0001f3f3\ufe0f\u200d\U0001f308 <i>cup</i>"
OBJECTS = f"""{SET.replace(".values())", f".values()) + [{EMOJI!r}]", 1)}
from foir_lib.retrievers.objects import MeanCrops
register("retriever", NAMES[1])(type("Mine", (MeanCrops,), {{}}))
page = Page(Corpus(rs, vit, progress=False), tabs=["Objects"])
page"""
TABLE = "rs.objects[['image_id', 'label']].map(lambda name: name.encode(errors='replace').decode()[:60])"
SHOWN = """page = Page([Corpus(rs, model, progress=False) for model in (vit, cnn)])
page"""
FIGURE = "figures.contact_sheet([rs.open(i) for i in ids], NAMES, title=NAMES[5])"
RAN = "window.hit !== undefined || !!document.querySelector('[onerror], [onmouseover], img[src*=evil], a[href^=javascript]')"
MATHEMATICS = "mjx-container, .MathJax, .MathJax_Preview, .MathJax_Display, .katex"


def harmless(page):
    """Nothing of a name is an element, a script, an address or a formula."""
    assert not page.evaluate(RAN)
    assert page.locator(MATHEMATICS).count() == 0, page.locator(MATHEMATICS).first.inner_html()


def texts(page, kind):
    return [" ".join(text.split()) for text in page.locator(kind).all_text_contents()]


def lines(longest=LABEL, as_read=lambda name: name):
    """Names as a page writes them; ``as_read``: what a reader makes of them before."""
    return [" ".join(one_line(as_read(name), longest).split()) for name in NAMES.values()]


@pytest.mark.parametrize("front_end", [pytest.param("lab", marks=pytest.mark.claims), "voila"])
def test_names_are_text_in_every_explorer(opened, write, front_end, request):
    with opened(front_end, write(SET, TABLE, SHOWN, FIGURE), height=1200) as (page, kernel):
        page.locator(".foir-gallery [data-item]").first.wait_for()
        harmless(page)
        assert set(lines(as_read=label)) <= set(texts(page, ".foir-left option"))
        kernel.run("page.explorer.methods = ['CBIR', NAMES[0], '$x^2$ <b>mine</b>']")
        page.locator(".foir-gallery .title", has_text="<img src=").first.wait_for()
        assert texts(page, ".foir-gallery .title") == ["CBIR", NAMES["element"], "$x^2$ <b>mine</b>"]
        assert "places gained or lost against CBIR" in " ".join(texts(page, ".foir-lists .widget-html"))
        kernel.run("page.explorer.methods = [NAMES[0], 'CBIR']")
        page.locator(".foir-lists .widget-html", has_text="against <img src=").wait_for()
        for row in range(len(NAMES)):
            kernel.run(f"page.query({row})")
            kernel.until(f"page.explorer.state['label'] == rs.queries['label'].iloc[{row}]", 60)
        picture(page, f"{request.node.name}_lists")
        harmless(page)
        kernel.run("page.canvas.say(NAMES[0] + NAMES[5])")
        page.locator("[data-foir=message]", has_text=NAMES["element"]).first.wait_for()
        for tab in ("Heads", "Failures"):
            kernel.run(f"page.tab = {tab!r}")
            page.locator(f".foir-{tab.lower()} [data-item]").first.wait_for()
            picture(page, f"{request.node.name}_{tab}")
            harmless(page)
        captions = [text.partition(" ")[2] for text in texts(page, ".foir-failures .caption")]
        assert sorted(captions) == sorted(lines(as_read=label))
        kernel.run("page.explorer.a.value = NAMES[0]")
        page.locator(".foir-failures .widget-html", has_text="Gain of <img src=").wait_for()
        kernel.run("page.corpora.value = page.corpora.options[1][1]; page.tab = 'Co-attention'")
        page.locator(".foir-co-attention [data-item]").first.wait_for()
        picture(page, f"{request.node.name}_coattention")
        harmless(page)
        assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")


def test_names_are_text_in_a_report(pages, tmp_path):
    names = list(NAMES.values())
    rows = pd.DataFrame({"method": ["CBIR", *names], "ours": 50.0, "note": None})
    rows = rows.assign(table="phs-1", dataset=names[0], model=names[5], metric=names[1], ap=names[2])
    rows.attrs["notices"] = [[name, name, 2, name] for name in names]
    report.save(rows, "phs-1", tmp_path)
    (tmp_path / "javascript:window.hit=1.json").write_text('{"table": "x"}')
    (tmp_path / "<img src=x onerror='window.hit=1'>.json").write_text("[]")
    page = pages()
    page.goto(Page(tmp_path).write({names[0]: names[1]}, names[0]).as_uri())
    harmless(page)
    heads = texts(page, "table >> nth=0 >> th")
    assert [line in heads for line in lines(200)] == [True] * len(names)
    assert page.locator("iframe").count() == 0 and page.locator("script").count() == 1  # our own, named by its digest in the page's policy
    for link in page.locator("a").all():
        assert link.get_attribute("href").startswith(("#", "./"))
    assert Path(tmp_path / "report.html").read_text().count("window.hit = 1</script>") == 0


def test_names_are_text_in_the_tab_objects(opened, write, request):
    with opened("voila", write(OBJECTS), height=1200) as (page, kernel):
        tab = page.locator(".foir-objects")
        tab.locator(".foir-gallery [data-item]").first.wait_for()
        names = [*NAMES.values(), EMOJI]
        assert {" ".join(one_line(label(name), LABEL).split()) for name in names} <= set(texts(page, ".foir-left option"))
        assert sum(NAMES["script"] in text for text in texts(page, ".foir-objects option")) == 1
        words = tab.locator(".widget-html", has_text="Picture ")
        for row, name in enumerate(names):
            kernel.run(f"page.query({row}); page.explorer.open_result({row}); page.explorer.look(0)")
            kernel.until(f"page.explorer.opened.row == {row} and page.explorer.object.number == 0", 60)
            said = " ".join(kernel.value("page.explorer.words.text").split())
            words.filter(has_text=f"Picture {row} ").wait_for()
            shown = " ".join(one_line(f"Picture {row} {name}", 10**6).split())
            assert " ".join(words.text_content().split()) == said and said.startswith(shown[:40])
            assert len(said) < 1500, "a name of 10,000 letters is cut short"
            harmless(page)
        picture(page, f"{request.node.name} open")
        kernel.run("page.explorer.method.value = next(one for _, one in page.explorer.method.options if NAMES[1] in str(one))")
        tab.locator(".foir-gallery .title", has_text="</script>").first.wait_for()
        kernel.run("page.explorer.ask_with(); page.canvas.say(NAMES[0] + NAMES[-1])")
        page.locator("[data-foir=message]", has_text=NAMES["element"]).first.wait_for()
        harmless(page)
        picture(page, f"{request.node.name} method")
        assert all(element.get_attribute("aria-label") for element in tab.locator("[data-item]").all())
        assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
