"""report.html: the tables and figures of one run on one page that needs nothing else and grows while the run goes on."""

import base64
import re
from pathlib import Path

import pandas as pd
from jinja2 import Environment, FileSystemLoader, StrictUndefined

from foir_lib.bench.runs import minutes, report
from foir_lib.bench.tables.catalogue import EVERY, title
from foir_lib.errors import IntegrityError
from foir_lib.files import atomic_write

TEMPLATES = Environment(
    loader=FileSystemLoader(Path(__file__).parent), autoescape=True, undefined=StrictUndefined, keep_trailing_newline=True
)


class Page:
    """The report of the folder of a run: ``results``, table -> (rows, stamp), and report.html of them.

    Each ``<table>.json`` that lies in the folder is read once, when the page is created.
    """

    def __init__(self, folder: str | Path):
        self.folder, self.results, self.damaged, self._sections = Path(folder), {}, {}, {}
        for path in sorted(self.folder.glob("*.json")):
            if path.name != "failures.json":
                try:
                    self.add(path.stem, *report.load(path))
                except IntegrityError as error:
                    self.damaged[path.stem] = str(error)

    def add(self, table: str, rows: pd.DataFrame, stamp: dict | None) -> None:
        """Put the rows of a table with its files in the folder on the page, in place of earlier ones."""
        self.results[table] = rows, stamp
        self.damaged.pop(table, None)
        self._sections[table] = self._section(table, rows, stamp)

    def write(self, failures: dict[str, str] | None = None, running: str = "") -> Path:
        """Write ``report.html`` and return its path.

        ``failures``: table -> sentence, on top; ``running``: a sentence on a run that is under way. Tables stand in the
        order of :data:`foir_lib.bench.tables.catalogue.EVERY`, any others behind them by name.
        """
        failures = self.damaged | (failures or {})
        names = [t for t in EVERY if t in self._sections] + sorted(self._sections.keys() - EVERY.keys())
        logs = {t: f"{t}.failed.ipynb" for t in failures if (self.folder / f"{t}.failed.ipynb").is_file()}
        stamps = {table: self.results[table][1] for table in names}
        text = TEMPLATES.get_template("report.html.j2").render(
            name=self.folder.resolve().name, failures=failures, running=running, logs=logs,
            n_good=len(names) - len(failures.keys() & set(names)),
            sections={table: self._sections[table] for table in names}, title=title,
            minutes={table: minutes.took(stamp["seconds"]) for table, stamp in stamps.items() if stamp},
        )  # fmt: skip
        atomic_write(self.folder / "report.html", text)
        return self.folder / "report.html"

    def _section(self, table, rows, stamp):
        """The HTML of one table."""
        pictures = {
            f"{title(table)}: {path.stem.removeprefix(table).strip('-')}": base64.b64encode(path.read_bytes()).decode()
            for path in sorted(self.folder.glob(f"{table}-*.png"))
        }
        files = [f"{table}.{ending}" for ending in ("ipynb", "csv", "md", "tex", "json")]
        return TEMPLATES.get_template("section.html.j2").render(
            report=report, title=title(table), table=table, rows=rows, pictures=pictures, stamp=_words(stamp),
            look=EVERY[table].look if table in EVERY else "",
            files=[file for file in files if (self.folder / file).is_file()],
        )  # fmt: skip


def _words(stamp):
    """The stamp in words."""
    if not stamp:
        return "Written by hand, without a stamp."
    commit = stamp["commit"][:12] if stamp["commit"] else "installed package"
    commit += " with changes" if stamp["dirty"] else ""
    versions = ", ".join(f"{name} {v}" for name, v in stamp["versions"].items() if v)
    chosen = ", ".join(f"{k}={v}" for k, v in stamp["parameters"].items() if v not in ("", None))
    lock = f", lock {stamp['lock'][:12]}" if stamp["lock"] else ""
    return (
        f"{stamp['date']}, {minutes.took(stamp['seconds'])} on {stamp['device']}, {stamp['machine']}; commit "
        f"{commit}{lock}; seed {stamp['seed']}; {chosen}; {versions}."
    )


TEMPLATES.tests["number"] = lambda cell: re.fullmatch(r"[-+*.,\d ()\[\]±]+", str(cell))  # "-", "**1.5** (2.0)": stands to the right
