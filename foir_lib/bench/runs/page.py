"""report.html: the tables and figures of one run on one page that needs nothing else."""

import base64
import json
from html import escape
from pathlib import Path

from foir_lib.bench.runs import report
from foir_lib.bench.tables.heads import EVERY
from foir_lib.errors import IntegrityError
from foir_lib.files import atomic_write

STYLE = """
:root { color-scheme: light dark; --ink: #1c2024; --paper: #fff; --faint: #667; --line: #d9dce1;
  --shade: #f4f5f7; --link: #0b5cad; --bad: #a11; --badshade: #fdeeee; }
@media (prefers-color-scheme: dark) { :root { --ink: #e4e6ea; --paper: #16181c; --faint: #9aa1ac;
  --line: #343942; --shade: #20242b; --link: #7db7ff; --bad: #ff9b9b; --badshade: #3a1f22; } }
body { font: 16px/1.5 system-ui, sans-serif; color: var(--ink); background: var(--paper);
  max-width: 72rem; margin: 0 auto; padding: 1.5rem; }
h1 { font-size: 1.6rem; } h2 { font-size: 1.25rem; margin: 2.5rem 0 .3rem; }
h3 { font-size: 1rem; margin: 1.2rem 0 .3rem; }
a { color: var(--link); } p { margin: .4rem 0; } .faint { color: var(--faint); font-size: .9rem; }
.scroll { overflow-x: auto; margin: .6rem 0; }
table { border-collapse: collapse; font-size: .9rem; font-variant-numeric: tabular-nums; }
th, td { padding: .25rem .7rem; border-bottom: 1px solid var(--line); text-align: left;
  white-space: nowrap; }
td.number { text-align: right; } thead th { border-bottom: 2px solid var(--faint); white-space: normal; vertical-align: bottom; }
tbody tr:hover { background: var(--shade); }
.failed { color: var(--bad); background: var(--badshade); border-left: 4px solid var(--bad);
  padding: .6rem 1rem; margin: 1rem 0; }
figure { margin: 1rem 0; } img { max-width: 100%; background: #fff; border-radius: 4px; }
nav ul { columns: 2 22rem; padding-left: 1.2rem; } summary { cursor: pointer; color: var(--link); }
code { font-size: .9em; overflow-wrap: anywhere; }
"""


def write(folder, failures=None):
    """Write ``report.html`` of every ``<table>.json`` in the folder of a run; returns its path.

    ``failures``: table -> sentence, told on top; by default those in ``failures.json``, if any.
    Tables stand in the order of :data:`foir_lib.bench.tables.heads.EVERY`.
    """
    folder = Path(folder)
    path = folder / "failures.json"
    if failures is None:
        failures = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}
    sections, names = [], _tables(folder)
    for name in names:
        try:
            sections.append(_section(folder, name))
        except IntegrityError as error:
            failures = failures | {name: str(error)}
            sections.append(f"<p class=failed>{escape(str(error))}</p>")
    entries = [f'<li><a href="#{name}">{escape(report.title(name))}</a></li>' for name in names]
    body = [
        f"<h1>FOIR workbook: {escape(folder.resolve().name)}</h1>",
        f"<p>{len(names) - len(failures.keys() & set(names))} tables, {len(failures)} failed.</p>",
        *[_failure(folder, name, sentence) for name, sentence in failures.items()],
        f"<nav aria-label=Tables><ul>{''.join(entries)}</ul></nav>",
        *[f'<section id="{n}">{s}</section>' for n, s in zip(names, sections)],
    ]
    page = (
        '<!doctype html><html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>FOIR workbook: {escape(folder.resolve().name)}</title>"
        f"<style>{STYLE}</style></head><body>\n" + "\n".join(body) + "\n</body></html>\n"
    )
    atomic_write(folder / "report.html", page)
    return folder / "report.html"


def _tables(folder):
    """Ids of the tables in a folder, known ones in their order, then any other by name."""
    found = {p.stem for p in folder.glob("*.json")} - {"failures"}
    return [t for t in EVERY if t in found] + sorted(found - set(EVERY))


def _failure(folder, name, sentence):
    log = f"{name}.failed.ipynb"
    log = f'<a href="{log}">{log}</a> shows where.' if (folder / log).is_file() else ""
    return f"<p class=failed><b>{escape(name)} failed.</b> {escape(sentence)} {log}</p>"


def _section(folder, name):
    rows, stamp = report.load(folder / f"{name}.json")
    look = EVERY[name].look if name in EVERY else ""
    parts = [
        f"<h2>{escape(report.title(name))}</h2>",
        f"<p>{escape(report.caption(rows))}"
        + (f" Look for: {escape(look)}" if look else "")
        + "</p>",
        _table(report.wide(rows).reset_index()),
        *[f"<p class=faint>{escape(note)}</p>" for note in report.notes(rows)],
        *[_figure(path, name) for path in sorted(folder.glob(f"{name}-*.png"))],
    ]
    theirs = report.of_paper(rows)
    if theirs is not None:
        parts += ["<h3>Printed in the paper</h3>", _table(theirs.reset_index())]
    files = [f"{name}.{ending}" for ending in ("ipynb", "csv", "md", "json")]
    links = [f'<a href="{file}">{file}</a>' for file in files if (folder / file).is_file()]
    cells = _table(report.rounded(rows).drop(columns="table"))
    parts += [
        f"<details><summary>Cell by cell: published, ours, difference</summary>{cells}</details>",
        f"<p class=faint>{_words(stamp)} Files: {', '.join(links)}.</p>",
    ]
    return "\n".join(parts)


def _words(stamp):
    """The stamp in words."""
    if not stamp:
        return "Written by hand, without a stamp."
    commit = stamp["commit"][:12] if stamp["commit"] else "installed package"
    commit += " with changes" if stamp["dirty"] else ""
    versions = ", ".join(f"{name} {v}" for name, v in stamp["versions"].items() if v)
    chosen = ", ".join(f"{k}={v}" for k, v in stamp["parameters"].items() if v not in ("", None))
    lock = f", lock {stamp['lock'][:12]}" if stamp["lock"] else ""
    return escape(
        f"{stamp['date']}, {stamp['seconds']:.0f} s on {stamp['device']}, {stamp['machine']}; commit "
        f"{commit}{lock}; seed {stamp['seed']}; {chosen}; {versions}."
    )


def _figure(path, name):
    data = base64.b64encode(path.read_bytes()).decode()
    words = f"{report.title(name)}: {path.stem.removeprefix(name).strip('-')}"
    return f'<figure><img alt="{escape(words)}" src="data:image/png;base64,{data}"></figure>'


def _table(table):
    """A DataFrame without its index as an HTML table; numbers to the right."""
    head = "".join(f"<th scope=col>{escape(str(c))}</th>" for c in table.columns)
    lines = [
        "".join(f"<td{_kind(v)}>{escape(str(v))}</td>" for v in line)
        for line in table.to_numpy().tolist()
    ]
    body = "".join(f"<tr>{line}</tr>" for line in lines)
    return f"<div class=scroll><table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div>"


def _kind(value):
    text = str(value).split(" (")[0]
    return " class=number" if text == "-" or text.lstrip("+-").replace(".", "", 1).isdigit() else ""
