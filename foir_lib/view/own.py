"""The demo of one's own photographs: which network and notebook, indexing with progress, the page with its parameters filled in."""

import os
import sys
import tempfile
from pathlib import Path

import nbformat
from papermill.iorw import load_notebook_node
from papermill.parameterize import parameterize_notebook

from foir_lib import registry
from foir_lib.bench.runs import parameters
from foir_lib.data import RetrievalSet, load_set
from foir_lib.data.getting.archives import readable
from foir_lib.data.opening import needs_root
from foir_lib.errors import MissingError
from foir_lib.files import as_path, notebooks_root
from foir_lib.models.zoo import OF_PHOTOGRAPHS, drawings_only, load_model, to_fetch
from foir_lib.retrievers.corpus import Corpus
from foir_lib.view.demo import COPY
from foir_lib.view.explorers.retrieval import RetrievalExplorer

DRAWN, PHOTOGRAPHS = "02_demo.ipynb", "04_photographs.ipynb"  # the pages


def demo(pictures: str | None, values: dict, arguments: list[str]) -> None:
    """Serve the page of ``pictures`` (a folder, the name of a set, or None: the drawn world) until it is stopped.

    ``values``: parameters of its notebook, None where they are to be the defaults; ``arguments``: Voila's. Raises InputError and
    MissingError for what can't be, before anything is served.
    """
    if pictures is None and not any(values.values()):
        return serve(arguments)
    notebook, filled = page_of(pictures, values)
    index(filled)
    path = Path(tempfile.mkdtemp(prefix=COPY), notebook.name)  # the server removes it
    write(notebook, filled, path)
    serve([str(path), *arguments])


def serve(arguments: list[str]) -> None:
    """Become the server: what indexing had in memory is let go."""
    sys.stdout.flush(), sys.stderr.flush()
    program = f"import sys; sys.path[:] = {sys.path!r}; import runpy; runpy.run_module('foir_lib.view.demo', run_name='__main__', alter_sys=True)"
    os.execv(sys.executable, [sys.executable, "-c", program, *arguments])


def page_of(pictures: str | None, values: dict) -> tuple[Path, dict]:
    """The notebook that shows ``pictures``, and all of its parameters.

    A name of a data set is that set, anything else a folder. Photographs without a named network get :data:`OF_PHOTOGRAPHS`.
    Raises MissingError for no folder, InputError for what isn't a parameter or no value of one.
    """
    values = {name: value for name, value in values.items() if value is not None}
    if pictures is not None and pictures not in registry.names("set"):
        if not as_path(pictures).is_dir():
            raise MissingError(f"There is no folder {pictures}: give that of your photographs, or the name of a data set of foir data list.")
        values |= {"dataset": "folder", "data_root": pictures}
    elif pictures is not None:
        values |= {"dataset": pictures}
    photographs = "dataset" in values and needs_root(values["dataset"])
    notebook = notebooks_root() / (PHOTOGRAPHS if photographs else DRAWN)
    for place in ("data_root", "weights", "segmenter"):
        if values.get(place) and (place != "segmenter" or as_path(values[place]).exists() and values[place] not in registry.names(place)):
            values[place] = str(as_path(values[place]).absolute())  # the page runs elsewhere
    if photographs:
        values.setdefault("model", OF_PHOTOGRAPHS)
    return notebook, parameters.fill(parameters.read(notebook), values, notebook.name)


def index(values: dict) -> Corpus:
    """Look at each picture once, with a bar of pictures per second and the time left; what was looked at before stays.

    ``values``: parameters of :func:`page_of`. Raises what `load_set` and `load_model` raise; a network that can't be fetched is
    told with the options that help.
    """
    pictures = load_set(values["dataset"], root=values["data_root"] or None, seed=values["seed"])
    print(f"{len(pictures.database)} pictures to search, {len(pictures.queries)} labelled queries", flush=True)
    model = _model(values, pictures)
    if values["segmenter"]:
        from foir_lib.models.segmenters import load_segmenter  # takes seconds

        load_segmenter(values["segmenter"], values["device"])  # what is wrong with it is said before anything is served
    corpus = Corpus(pictures, model, seed=values["seed"])
    for retriever in RetrievalExplorer.first(corpus):
        corpus.described(retriever, corpus.database)
    print("indexed; the page opens now, Ctrl-C here ends it", flush=True)
    return corpus


def _model(values: dict, pictures: RetrievalSet):
    name, weights = values["model"], values["weights"]
    try:
        if not weights and (size := to_fetch(name)):
            print(f"{name}: {readable(size)} are fetched from the Hugging Face hub, once", flush=True)
        model = load_model(name, weights=weights or None, device=values["device"])
    except MissingError as error:
        if weights:
            raise
        said = str(error).partition(":")[0]
        raise MissingError(f"{said}: give --weights FILE with its safetensors file, or --model NAME (with --weights) of one that is here.") from error
    if needs_root(pictures.name) and drawings_only(model):
        print(drawings_only(model), flush=True)
    return model


def write(notebook: Path, values: dict, path: Path) -> None:
    """A copy of a notebook with its parameters filled in, by papermill, and without outputs."""
    page = parameterize_notebook(load_notebook_node(str(notebook)), values)
    for cell in page.cells:
        if cell.cell_type == "code":
            cell.outputs, cell.execution_count = [], None
    nbformat.write(page, path)
