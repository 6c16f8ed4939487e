"""``foir data|cache|models|tables|reproduce|demo|bench``: the workbook from a terminal."""

import os
import sys
from datetime import datetime
from typing import Annotated

import typer

from foir_lib import text
from foir_lib.errors import FoirError
from foir_lib.view import commands

app = typer.Typer(
    help="Focus-oriented image retrieval: data, models, every table of the papers, measurements.",
    no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False, rich_markup_mode=None,
)  # fmt: skip
data = typer.Typer(help="Data sets: what there is, getting it, verifying it.", no_args_is_help=True)
app.add_typer(data, name="data")
cache = typer.Typer(help="What is computed once and stored: features, small files, mini worlds.", no_args_is_help=True)
app.add_typer(cache, name="cache")
app.command(context_settings=commands.VOILA)(commands.demo)

Text = str | None
Root = Annotated[Text, typer.Option(help="Folder of the data set; default: FOIR_DATA/NAME.")]


@data.command("list")
def data_list():
    """List the data sets: size, licence, how many files have a published checksum."""
    from foir_lib.data.getting import archives, download

    rows = download.datasets().drop(columns="homepage")
    _table(rows.assign(bytes=rows["bytes"].map(archives.readable)))


@data.command("get")
def data_get(name: str, root: Root = None):
    """Fetch a data set, with checksums; a stopped download goes on where it was."""
    from foir_lib.data.getting import download

    _verdict(download.get(name, root))


@data.command("verify")
def data_verify(name: str, root: Root = None):
    """Check what lies on disk against the manifest; exit 1 if anything is missing or wrong."""
    from foir_lib.data.getting import download

    _verdict(download.verify(name, root))


@data.command("check")
def data_check(
    root: Annotated[str, typer.Argument(help="Folder of photographs, or of a data set.")],
    name: Annotated[str, typer.Option("--set", help="Whose layout it has; see foir data list.")] = "folder",
    option: Annotated[list[str] | None, typer.Option("-p", metavar="NAME VALUE", help="Any option of its reader: boxes, labels, query.")] = None,
):
    """Tell what reading a folder or data set leaves out, turns or guesses; nothing is run."""
    from foir_lib.data import checking

    retrieval_set, notices = checking.check(root, name, **text.pairs(option or [], {"name": name, "root": root}))
    if len(notices):
        _table(notices)
    counts = ", ".join(f"{len(getattr(retrieval_set, part))} {part}" for part in ("images", "objects", "queries"))
    typer.echo(f"{name} in {root}: {counts}; {len(notices) or 'no'} notices")


@cache.command("list")
def cache_list():
    """List what the cache holds: size, last use, and whether today's code would make the same (stale: no)."""
    from foir_lib.store import caches

    _entries(caches.entries(), "in all")


@cache.command("prune")
def cache_prune(
    days: Annotated[float | None, typer.Option(help="Also what wasn't used for so many days.")] = None,
    everything: Annotated[bool, typer.Option("--all", help="All that the cache holds, but for fetched data.")] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only tell what would go.")] = False,
):
    """Remove what is stale or damaged: it is computed again when it is needed."""
    from foir_lib.store import caches

    _entries(caches.prune(days, everything, dry_run), "would be removed" if dry_run else "removed")


@app.command()
def models():
    """List the friendly model names; any timm ViT or CNN name works too."""
    from foir_lib.models.zoo import MODELS

    width = max(map(len, MODELS))
    for name, timm_name in MODELS.items():
        typer.echo(f"{name:{width}}  {timm_name if timm_name != name else 'part of this workbook'}")


@app.command()
def methods(plugin: Annotated[Text, typer.Option(help="A Python file that registers more.")] = None):
    """List the methods that tables can show, with options and defaults, and the re-rankings."""
    from foir_lib import registry

    if plugin:
        registry.load_plugin(plugin)
    for kind in ("retriever", "reranker", "localiser"):
        for thing in [registry.lookup(kind, name) for name in registry.names(kind)]:
            summary = (thing.__doc__ or "").strip().partition("\n")[0]
            typer.echo(f"{kind:10}  {thing.signature()}\n{'':12}{summary}")


@app.command()
def tables():
    """List the tables of the papers that can be reproduced."""
    from foir_lib.bench.tables.catalogue import EVERY

    for name, table in EVERY.items():
        typer.echo(f"{name:10}  {table.title}")


@app.command()
def reproduce(
    tables: Annotated[list[str], typer.Argument(help="mini (all), or names of foir tables: phs-1 ca-1,ra-3")],
    dataset: Annotated[Text, typer.Option(help="mini, paper, or names: coco,voc")] = None,
    data_root: Annotated[Text, typer.Option(help="Folder of that data set.")] = None,
    model: Annotated[Text, typer.Option(help="mini, paper, or names; see foir models")] = None,
    weights: Annotated[Text, typer.Option(help="Local weights file of that model.")] = None,
    training_root: Annotated[Text, typer.Option(help="Folder of pictures that PCA and codebook learn from.")] = None,
    guest: Annotated[Text, typer.Option(metavar="NAME=FILE", help="Another system's rankings or descriptors, or 'ranks > masks'.")] = None,
    methods: Annotated[Text, typer.Option(metavar="NAMES", help="Columns to show: CBIR, PHS(h_on=3), Mine.")] = None,
    plugin: Annotated[Text, typer.Option(metavar="PATH", help="Python file of your methods, models or sets.")] = None,
    device: Annotated[Text, typer.Option(help="auto (cuda, mps or cpu), cpu, cuda, cuda:1, mps; several share the pictures: cuda:0,cuda:1")] = None,
    engine: Annotated[Text, typer.Option(help="ray: the nodes of a cluster share the pictures.")] = None,
    address: Annotated[Text, typer.Option(help="Of that cluster; none: of this machine.")] = None,
    seed: Annotated[Text, typer.Option(help="A whole number.")] = None,
    parameter: Annotated[
        list[str] | None, typer.Option("-p", metavar="NAME VALUE", help="Any other parameter of the notebook.")
    ] = None,
    out: Annotated[Text, typer.Option(help="Folder; default runs/<tables>.")] = None,
    fresh: Annotated[bool, typer.Option("--fresh", help="Make again what is done.")] = False,
):
    """Make tables of the papers: notebook, JSON, CSV, Markdown, figures and one report.html.

    What is done is kept, a failed table doesn't stop the others; exit 1 if one failed.
    """
    values = {"dataset": dataset, "data_root": data_root, "model": model, "weights": weights, "device": text.on_engine(device, engine, address)}
    values |= {"training_root": training_root, "guest": guest, "methods": methods, "plugin": plugin, "seed": seed}
    values |= text.pairs(parameter or [], values)
    from foir_lib.bench.runs import runner

    try:
        folder, failures = runner.reproduce(tables, values, out, fresh)
    except KeyboardInterrupt:
        sentence = "stopped: what is finished is kept, the same command goes on from there"
        raise typer.Exit(_say(sentence, 130)) from None
    listed = [f"needs data: {name}: {sentence}" for name, sentence in runner.needing_data(tables).items()]
    typer.echo("\n".join([f"{folder / 'report.html'}", *listed]))
    for name, sentence in failures.items():
        _say(f"failed: {name}: {sentence}", 1)
    raise typer.Exit(1 if failures else 0)


@app.command()
def cutout(
    picture: Annotated[str, typer.Argument(help="A photograph that shows the thing.")],
    box: Annotated[Text, typer.Option(metavar="X0,Y0,X1,Y1", help="Around the thing, in pixels of the photograph.")] = None,
    point: Annotated[Text, typer.Option(metavar="X,Y", help="On the thing.")] = None,
    root: Annotated[Text, typer.Option(help="Folder of photographs, or of a data set, that is searched.")] = None,
    name: Annotated[str, typer.Option("--set", help="Whose layout it has; see foir data list.")] = "folder",
    option: Annotated[list[str] | None, typer.Option("-p", metavar="NAME VALUE", help="Any option of its reader.")] = None,
    method: Annotated[str, typer.Option(help="What ranks; see foir methods.")] = "PHS",
    localiser: Annotated[str, typer.Option(help="What cuts: Dense, SAM(of='Dense'), Tiled(of='Dense').")] = "Dense",
    model: Annotated[str, typer.Option(help="See foir models.")] = "mini-vit",
    weights: Annotated[Text, typer.Option(help="Local weights file of that model.")] = None,
    device: Annotated[str, typer.Option(help="auto, cpu, cuda, mps")] = "auto",
    n: Annotated[int, typer.Option("-n", min=1, help="How many of the first results.")] = 20,
    least: Annotated[float | None, typer.Option(help="Only what is localised by such a score.")] = None,
    label: Annotated[str, typer.Option(help="What the thing is called.")] = "thing",
    out: Annotated[str, typer.Option(help="Folder to write.")] = "runs/cutout",
):
    """Cut out everywhere: one thing, on all pictures that are found to show it, as RGBA PNGs and a COCO file."""
    from foir_lib.view import everywhere

    prompt = everywhere.pointed(box, point)
    searched = everywhere.opened(name, root, text.pairs(option or [], {"name": name, "root": root}))
    path, n_cut = everywhere.cut(searched, picture, prompt, out, method, localiser, model, weights, device, n, least, label)
    typer.echo(f"{path}: {n_cut} of the first {min(n, len(searched.database))} results are cut out")


@app.command()
def bench(
    out: Annotated[str, typer.Option(help="JSON file to write.")] = "bench.json",
    model: Annotated[str, typer.Option(help="See foir models; its weights are random.")] = "dinov2-small",
    device: Annotated[str, typer.Option(help="auto, cpu, cuda, mps")] = "auto",
    repeats: Annotated[int, typer.Option(min=1, help="Timings per measure.")] = 7,
    n_states: Annotated[int, typer.Option(min=1, help="Database images of the searches.")] = 100_000,
):
    """Measure what the design saves: ratios of medians, both sides in one run."""
    from foir_lib.bench.speed import run

    typer.echo(run.markdown(run.main(out, model, device, repeats, n_states)))


def main(arguments=None):
    """Run the command line; returns never: exit 0, 1 (something failed), 2 (bad input), 130 (stopped).

    An error of this project is one line on stderr; FOIR_DEBUG=1 shows its traceback.
    """
    arguments = sys.argv[1:] if arguments is None else list(arguments)
    try:
        app(text.joined(arguments), prog_name="foir")
    except FoirError as error:
        if os.environ.get("FOIR_DEBUG") == "1":
            raise
        sys.exit(_say(f"error: {error}", 2))
    except BrokenPipeError:  # foir ... | head
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(1)


def _say(sentence, code):
    print(text.one_line(" ".join(sentence.split()), None), file=sys.stderr)
    return code


def _table(rows):
    rows = rows.astype(object).where(rows.notna(), "-")
    typer.echo(rows.map(lambda cell: text.one_line(cell) if isinstance(cell, str) else cell).to_string(index=False))


def _entries(entries, how):
    """Print entries of the cache, and how many bytes they take."""
    import pandas as pd

    from foir_lib.data.getting.archives import readable
    from foir_lib.files import cache_root
    rows = [
        {"kind": e.kind, **{k: text.one_line(e.key.get(k, "-"), 60) for k in ("what", "model")}, "items": e.n or "-",
         "size": readable(e.bytes), "last used": f"{datetime.fromtimestamp(e.used):%Y-%m-%d %H:%M}", "code": e.state,
         "folder": e.path.name}
        for e in entries
    ]  # fmt: skip
    if rows:
        _table(pd.DataFrame(rows))
    typer.echo(f"{len(rows)} entries, {readable(sum(e.bytes for e in entries))} {how} ({cache_root()})")


def _verdict(rows):
    _table(rows)
    raise typer.Exit(int(rows["status"].isin(["missing", "mismatch"]).any()))
