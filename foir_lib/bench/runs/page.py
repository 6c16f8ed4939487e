"""report.html: the tables and figures of one run on one page that needs nothing else and grows while the run goes on."""

import base64
import hashlib
import re
from pathlib import Path

import pandas as pd
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup, escape
from PIL import Image

from foir_lib.bench import agreement, captions, published
from foir_lib.bench.runs import layout, minutes, report
from foir_lib.bench.runs.tables_text import BOLD
from foir_lib.bench.tables.catalogue import EVERY, title
from foir_lib.errors import IntegrityError
from foir_lib.files import atomic_write
from foir_lib.text import SENTENCE, markup, one_line

TEMPLATES = Environment(
    loader=FileSystemLoader(Path(__file__).parent), autoescape=True, undefined=StrictUndefined, keep_trailing_newline=True,
    finalize=lambda value: one_line(value, SENTENCE) if isinstance(value, str) and not isinstance(value, Markup) else value,
)  # fmt: skip
SCRIPT = Path(__file__).with_name("report.js").read_text(encoding="utf-8")
DIGEST = base64.b64encode(hashlib.sha256(SCRIPT.encode()).digest()).decode()  # the page runs this script and no other


class Page:
    """The report of the folder of a run: ``results``, table -> (rows, stamp), and report.html of them.

    ``needing``: table -> sentence of those that are only listed, as in need of data. Each ``<table>.json`` that lies in the folder is read once, when the page is created; other files are nobody's results.
    """

    def __init__(self, folder: str | Path, needing: dict[str, str] | None = None):
        self.needing = needing or {}
        self.folder, self.results, self.damaged, self._sections, self._minutes, self._pairs = Path(folder), {}, {}, {}, {}, {}
        for path in [self.folder / f"{table}.json" for table in EVERY]:
            if path.is_file():
                try:
                    self.add(path.stem, *report.load(path))
                except IntegrityError as error:
                    self.damaged[path.stem] = str(error)

    def add(self, table: str, rows: pd.DataFrame, stamp: dict | None) -> None:
        """Put the rows of a table with its files in the folder on the page, in place of earlier ones.

        Raises IntegrityError for a stamp that isn't one of :mod:`foir_lib.bench.runs.stamp`.
        """
        try:
            words, took = _words(stamp, rows), minutes.took(stamp["seconds"]) if stamp else ""
        except (AttributeError, KeyError, TypeError, ValueError) as error:
            raise IntegrityError(f"The stamp of {table}.json lacks something ({error!r}): run it again.") from error
        self._pairs[table], self._minutes[table] = agreement.beside_paper(rows), took
        self._sections[table] = self._section(table, rows, words)
        self.results[table] = rows, stamp
        self.damaged.pop(table, None)

    def write(self, failures: dict[str, str] | None = None, running: str = "") -> Path:
        """Write ``report.html`` and return its path.

        ``failures``: table -> sentence, on top; ``running``: a sentence on a run that is under way. Tables stand in the
        order of :data:`foir_lib.bench.tables.catalogue.EVERY`.
        """
        failures = self.damaged | (failures or {})
        names = [t for t in EVERY if t in self._sections]
        logs = {t: f"{t}.failed.ipynb" for t in failures if (self.folder / f"{t}.failed.ipynb").is_file()}
        text = TEMPLATES.get_template("report.html.j2").render(
            name=self.folder.resolve().name, failures=failures, running=running, logs=logs,
            n_good=len(names) - len(failures.keys() & set(names)),
            sections={table: self._sections[table] for table in names}, title=title,
            short=self._abbreviations(names), minutes=self._minutes, needing=self.needing, paper=self._paper(names), script=Markup(SCRIPT), digest=DIGEST,
        )  # fmt: skip
        atomic_write(self.folder / "report.html", text)
        return self.folder / "report.html"

    def _paper(self, names):
        """What the top of the page says of all tables beside the papers': tables, sentence, those of the other sign; None where none can be compared."""
        pairs = {name: self._pairs[name] for name in names if len(self._pairs[name])}
        if not pairs:
            return None
        every = pd.concat(pairs.values(), ignore_index=True)
        counts = {name: agreement.counted(part) for name, part in pairs.items()}
        counts = {name: (same, n) for name, (same, n) in counts.items() if n}
        without = [name for name in names if name not in counts and name in published.tables() and "x" not in self.results[name][0]]
        return {"summary": agreement.summary(every), "other": layout.parted(agreement.parted(every)), "without": without,
                "counts": counts, "signs": captions.SIGNS}  # fmt: skip

    def _abbreviations(self, names):
        """Those of the methods and metrics of all tables, with their meanings."""
        return captions.abbreviations({str(one) for name in names for column in ("method", "metric") for one in self.results[name][0][column]})

    def _section(self, table, rows, words):
        """The HTML of one table."""
        pictures = {
            _words_of(path) or f"{title(table)}: {path.stem.removeprefix(table).strip('-')}": Markup(base64.b64encode(path.read_bytes()).decode())
            for path in own(self.folder, table, ".png")
        }
        files = [self.folder / f"{table}{ending}" for ending in (".ipynb", ".csv", "-wide.csv", "-paper.csv", ".md", ".tex", ".json")]
        texts = {ending: escape(text) for ending, text in report.pasted(rows).items()}
        return Markup(TEMPLATES.get_template("section.html.j2").render(
            report=report, layout=layout, agreement=agreement, table=table, captions=captions, title=captions.cited(table), rows=rows, pictures=pictures, stamp=words, bold=BOLD,
            look=EVERY[table].look, pairs=self._pairs[table], texts=texts,
            files=[file.name for file in [*files, *own(self.folder, table, ".pdf")] if file.is_file()],
        ))  # fmt: skip


def own(folder: Path, table: str, ending: str) -> list[Path]:
    """The files ``<table>-<name><ending>`` in a folder, in order, without those of a table whose id begins with the same: px-davis, px-davis-lost."""
    others = tuple(f"{other}{mark}" for other in EVERY if other.startswith(f"{table}-") for mark in "-.")
    return [path for path in sorted(folder.glob(f"{table}-*{ending}")) if not path.name.startswith(others)]


def _words_of(path):
    """What a PNG says that it shows, or "" for none."""
    try:
        with Image.open(path) as picture:
            return str(picture.info.get(report.ALT, ""))
    except (OSError, ValueError, SyntaxError):
        return ""


def _words(stamp, rows):
    """The stamp in words, or where there is none what the rows themselves say of their origin."""
    if not stamp:
        told = {name: ", ".join(map(str, rows[name].dropna().unique())) for name in ("command", "date", "commit", "device", "seed", "versions") if name in rows}
        parts = [f"{name} {words}" for name, words in told.items() if words]
        return f"Of each row: {'; '.join(parts)}." if parts else "No stamp: it isn't known what wrote these rows."
    commit = stamp["commit"][:12] if stamp["commit"] else "installed package"
    commit += " with changes" if stamp["dirty"] else ""
    versions = ", ".join(f"{name} {v}" for name, v in stamp["versions"].items() if v)
    chosen = ", ".join(f"{k}={v}" for k, v in stamp["parameters"].items() if v not in ("", None))
    lock = f", lock {stamp['lock'][:12]}" if stamp["lock"] else ""
    return (
        f"{stamp['date']}, {minutes.took(stamp['seconds'])} on {stamp['device']}, {stamp['machine']}; commit "
        f"{commit}{lock}; seed {stamp['seed']}; {chosen}; {versions}."
    )


def _cell(cell):
    """A cell as HTML, its bold part bold."""
    before, bold, rest = str(cell).partition(BOLD[0])
    part, _, after = rest.partition(BOLD[-1])
    return markup("{}<b>{}</b>{}" if bold else "{}", before, part, after)


TEMPLATES.filters["cell"] = _cell
TEMPLATES.tests["number"] = lambda cell: re.fullmatch(r"[-+.,\d ()\[\]±\x02\x03]+", str(cell))  # "-", "1.5 (2.0)": stands to the right
