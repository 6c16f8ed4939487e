"""Run lessons in place and note what each takes: ``python tests/notebooks/lesson.py NOTEBOOK...``

Each notebook is run with an empty cache, as by who opens it for the first time. Seconds of one core and the largest memory of its
kernel go into ``data_manifests/measured/lessons.json``, and the line that tells them into the notebook's first cell.
"""

import base64
import io
import json
import os
import re
import resource
import subprocess
import sys
import tempfile
from pathlib import Path

import nbformat
from nbclient import NotebookClient
from PIL import Image

ROOT = Path(__file__).resolve().parents[2]
MEASURED = ROOT / "data_manifests" / "measured" / "lessons.json"
LINE = re.compile(r"^\*The first run takes .+\*$", re.MULTILINE)

BAR = re.compile(r"\d%\|.*\[\d+:\d\d")  # of tqdm: 40%|####   | 2/5 [00:01<00:02, ...]
KINDS = ("image/png", "image/jpeg")


def measured() -> dict[str, dict[str, float]]:
    """Name of a notebook -> seconds of one core and GB of memory, as measured."""
    return json.loads(MEASURED.read_text(encoding="utf-8")) if MEASURED.exists() else {}


def told(seconds: float, gigabytes: float) -> str:
    """What a lesson takes, in a line."""
    minutes = round(seconds / 60)
    words = "less than a minute" if seconds < 50 else f"about {max(1, minutes)} minute{'s' * (minutes > 1)}"
    return f"*The first run takes {words} of one core and {max(0.1, gigabytes):.1f} GB of memory.*"


def with_line(source: str, line: str) -> str:
    """The first cell with ``line`` in the place of the one that it holds, or at its end."""
    return LINE.sub(line, source) if LINE.search(source) else f"{source.rstrip()}\n\n{line}"


def is_bar(output: dict) -> bool:
    """Whether an output is a progress bar: as text on stderr or as a widget, which would stand still on the page."""
    return BAR.search(f"{output.get('text', '')}{output.get('data', {}).get('text/plain', '')}") is not None


def opened(notebook: nbformat.NotebookNode) -> None:
    """Show at the top, small, the first picture of the cell whose metadata hold ``opening``, the words that stand for it."""
    for cell in notebook.cells:
        if words := cell.metadata.get("opening"):
            data = next(o.data for o in cell.outputs if any(kind in o.get("data", {}) for kind in KINDS))
            picture = Image.open(io.BytesIO(base64.b64decode(next(data[kind] for kind in KINDS if kind in data)))).convert("RGB")
            picture.thumbnail((640, 360))
            picture.save(file := io.BytesIO(), "JPEG", quality=85)
            first, title = notebook.cells[0], notebook.cells[0].source.split("\n\n")
            first.attachments = {"opening.jpg": {"image/jpeg": base64.b64encode(file.getvalue()).decode()}}
            title = [part for part in title if not part.startswith("![")]
            first.source = "\n\n".join([*title[:2], f"![{words}](attachment:opening.jpg)", *title[2:]])


def run(path: Path) -> None:
    """Run one notebook in place, its own folder as the working directory; no times of cells and no widget states are kept."""
    notebook = nbformat.read(path, as_version=4)
    resources = {"metadata": {"path": str(path.parent)}}
    NotebookClient(notebook, timeout=7200, startup_timeout=600, store_widget_state=False, resources=resources).execute()
    for cell in notebook.cells:
        cell.metadata.pop("execution", None)
        if cell.cell_type == "code":
            cell.outputs = [output for output in cell.outputs if not is_bar(output)]
        for output in cell.get("outputs", []):
            output.get("data", {}).pop("application/vnd.jupyter.widget-view+json", None)
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    cost = {"seconds": round(used.ru_utime + used.ru_stime), "gigabytes": round(used.ru_maxrss / 1e6, 1)}
    notebook.metadata = nbformat.from_dict({"kernelspec": notebook.metadata["kernelspec"], "language_info": {"name": "python"}})
    notebook.cells[0].source = with_line(notebook.cells[0].source, told(*cost.values()))
    opened(notebook)
    nbformat.write(notebook, path)
    MEASURED.write_text(json.dumps(dict(sorted((measured() | {path.stem: cost}).items())), indent=1) + "\n", encoding="utf-8")
    print(path.name, cost)


if __name__ == "__main__":
    first, *others = sys.argv[1:]
    with tempfile.TemporaryDirectory() as cache:
        os.environ["FOIR_CACHE"] = cache
        run(Path(first).resolve())
    if others:
        sys.exit(subprocess.run([sys.executable, __file__, *others]).returncode)
