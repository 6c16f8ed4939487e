"""``foir index``: a folder of pictures to a searched index, and what is done with it."""

import json
import os
from typing import Annotated

import typer

from foir_lib import text

Text = str | None
app = typer.Typer(help="A searched index: a folder of pictures, described once, then searched by a prompt.", no_args_is_help=True)
Folder = Annotated[str, typer.Argument(metavar="INDEX", help="Folder of the index.")]
Device = Annotated[str, typer.Option(help="auto (cuda, mps or cpu), cpu, cuda, cuda:1, mps")]


@app.command()
def build(
    pictures: Annotated[str, typer.Argument(help="A folder of photographs, or a drawn world of foir data list.")],
    index: Folder,
    method: Annotated[str, typer.Option(help="What scores: PHS(query_db=True), CA, MaO, CBIR; see foir methods.")] = "PHS(query_db=True)",
    model: Annotated[str, typer.Option(help="See foir models; for photographs dinov2-base.")] = "dinov2-base",
    weights: Annotated[str, typer.Option(help="Local weights file of that model.")] = "",
    device: Device = "auto",
    engine: Annotated[str, typer.Option(help="What yields candidates: exact, faiss, or milvus, a vector database.")] = "exact",
    uri: Annotated[str, typer.Option(help="Address of a Milvus that runs elsewhere; else it lies in INDEX.")] = "",
):
    """Describe each picture once and make an index of them; what was stopped goes on by the same command."""
    from foir_lib.retrievers.indexed import index as indexed

    _told(indexed.build(pictures, index, method, model, weights, device, engine, uri))


@app.command()
def add(index: Folder, places: Annotated[list[str] | None, typer.Argument(metavar="[FOLDER]...", help="More folders.")] = None, device: Device = "auto"):
    """Index what is new in the folders of an index, and more folders; what was removed comes back where it lies in one that is named."""
    from foir_lib.retrievers.indexed import index as indexed

    _told(indexed.add(index, places or [], device))


@app.command()
def remove(index: Folder, names: Annotated[list[str], typer.Argument(metavar="PICTURE|FOLDER...", help="Their names in the index, or paths.")], device: Device = "auto"):
    """Leave pictures out of an index; their files are not touched."""
    from foir_lib.retrievers.indexed import index as indexed

    _told(indexed.remove(index, names, device))


@app.command()
def search(
    index: Folder,
    picture: Annotated[str, typer.Argument(help="A photograph that shows what is looked for.")],
    box: Annotated[Text, typer.Option(metavar="X0,Y0,X1,Y1", help="Around the thing, in pixels of the photograph.")] = None,
    point: Annotated[Text, typer.Option(metavar="X,Y", help="On the thing.")] = None,
    k: Annotated[int, typer.Option("-k", min=1, help="How many results.")] = 20,
    candidates: Annotated[int, typer.Option(min=1, help="How many pictures are scored exactly.")] = 1000,
    label: Annotated[Text, typer.Option(help="Only pictures with such a label.")] = None,
    under: Annotated[Text, typer.Option(help="Only pictures whose names begin so: 2024/holiday/")] = None,
    out: Annotated[Text, typer.Option("--json", metavar="FILE", help="Write the results as JSON, too.")] = None,
    device: Device = "auto",
):
    """Search by a prompt on a photograph, by the whole of it without one: candidates of the engine, then exact scores of them."""
    from foir_lib.files import as_path, atomic_write, try_place
    from foir_lib.images import open_image
    from foir_lib.prompts import Box
    from foir_lib.retrievers.indexed import index as indexed
    from foir_lib.view.everywhere import pointed

    path = out and try_place(out)
    shown = open_image(as_path(picture))
    prompt = pointed(box, point) if box or point else Box(0, 0, *shown.size)
    opened = indexed.open_index(index, device, progress=False)
    where = {column: value for column, value in (("label", label), ("image", under)) if value}
    results = opened.search(shown, prompt, k, candidates, where)
    if path:
        about = {"index": str(opened.folder), "picture": picture, "prompt": str(prompt), "method": str(opened.retriever), "candidates": candidates, "where": where}
        atomic_write(path, json.dumps(about | {"results": results.to_dict("records")}, indent=1, ensure_ascii=False))
    lines = results[["place", "score", "image", "label"]].assign(score=results["score"].map("{:.4f}".format))
    typer.echo(lines.map(lambda cell: text.one_line(cell) if isinstance(cell, str) else cell).to_string(index=False))


@app.command(context_settings={"allow_extra_args": True, "ignore_unknown_options": True})
def serve(context: typer.Context, index: Folder, device: Device = "auto", no_browser: Annotated[bool, typer.Option("--no-browser", help="Only serve: the address is printed.")] = False):
    """The demo of an index: its page on this computer alone, behind a token. Options of Voila, such as --port=8877, are passed on."""
    from foir_lib.data.opening import needs_root
    from foir_lib.retrievers.indexed import index as indexed
    from foir_lib.view import own

    opened = indexed.open_index(index, device)
    note = opened.note
    if needs_root(note["set"]):
        os.environ["FOIR_CACHE"] = str(opened.folder)  # where the page, too, finds what is described
    values = {"data_root": str(opened.folder), "model": note["model"]["name"], "weights": note["model"]["weights"] or None, "device": device}
    own.demo("index", values, [*context.args, *["--no-browser"] * no_browser])


def _told(opened):
    note = opened.note
    typer.echo(f"{opened.folder}: {len(opened)} pictures by {note['model']['name']}, {note['method']}; candidates by {note['engine']['engine']}")
