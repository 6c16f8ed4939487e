"""How notebooks are tested: nbval runs each from start to end and compares what checked cells printed and returned.

Progress (a bar of tqdm, as text on stderr or as a widget) and warnings are no results: they show up where a machine is busy
or a cache is empty, so nbval doesn't compare them. No limit of time is short enough to be met by a busy machine.
Whole tables are claims (make claims): their twins are tests/bench/test_rows.py, which makes every table on small worlds by the
same cells.
"""

import os

import forked
import pytest
from nbval.plugin import IPyNbCell

WIDGET = "application/vnd.jupyter.widget-view+json"
collect_ignore_glob = ["teaching/solutions_*.ipynb"]  # run by tests/notebooks/test_teaching.py, which compares more


def results(outputs):
    """The outputs that are results: neither stderr nor widgets."""
    return [out for out in outputs if out.get("name") != "stderr" and WIDGET not in out.get("data", {})]


@pytest.hookimpl(wrapper=True)
def pytest_runtest_setup(item):
    """The kernel of a notebook is started with its first cell: a fork that has the large libraries in memory."""
    if not isinstance(item, IPyNbCell):
        return (yield)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("JUPYTER_PATH", os.pathsep.join(filter(None, [forked.path(), os.environ.get("JUPYTER_PATH")])))
        return (yield)


def pytest_collection_modifyitems(items):
    for cell in items:
        if isinstance(cell, IPyNbCell):
            cell.output_timeout = 600
            if cell.path.parent.name == "tables":
                cell.add_marker(pytest.mark.claims)
            cell.compare_outputs = lambda test, ref, compare=cell.compare_outputs: compare(results(test), results(ref))
