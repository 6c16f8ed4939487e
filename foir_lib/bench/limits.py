"""What a run of a table is of, by the words of its parameters; and what is wrong with them, said before any picture is opened."""

import os
from pathlib import Path
from types import SimpleNamespace

from foir_lib import registry
from foir_lib.bench import published
from foir_lib.bench.tables.catalogue import find
from foir_lib.bench.tables.columns import Column, Table
from foir_lib.data.getting.download import folder
from foir_lib.data.opening import needs_root, opener
from foir_lib.errors import InputError, MissingError, count
from foir_lib.files import as_path
from foir_lib.models import devices, zoo
from foir_lib.retrievers import guests
from foir_lib.retrievers.base import Retriever

DISTRACTORS = {  # data set of a row -> the set, and what is added to its database
    "roxford5k+1m": ("roxford5k", "revisitop1m"), "rparis6k+1m": ("rparis6k", "revisitop1m"),
    "proxford5k+1m": ("proxford5k", "revisitop1m"), "prparis6k+1m": ("prparis6k", "revisitop1m"),
    "oxford105k": ("oxford5k", "oxford105k"), "paris106k": ("paris6k", "oxford105k"),
    "revisitop1m": ("roxford5k", "revisitop1m"),
}  # fmt: skip
LEAST = {"seed": 0, "k": 1, "n_training": 0, "noise_pixels": 0, "batch_size": 1, "workers": 1}
MOST = {"seed": 2**31 - 1, "noise_pixels": 10_000}  # faiss counts seeds in 31 bits


def rows_of(table: str, dataset: str = "mini", model: str = "mini") -> tuple[list[str], list[str]]:
    """The data sets and models of a run: two lists of names.

    ``dataset``, ``model``: "mini" (the embedded stand-ins of the table's rows, themselves where they have none), "paper" (the rows the paper
    prints), or names separated by commas. Raises InputError for an unknown table, and where nothing is named.
    """
    spec, names = find(table), []
    for what, text, paper in (("dataset", dataset, spec.datasets), ("model", model, spec.models)):
        mini = list(dict.fromkeys(one for name in paper for one in spec.stands.get(name, (name,))))
        names.append({"paper": list(paper), "mini": mini}.get(text) or registry.split(text))
        if paper and not names[-1]:
            raise InputError(f"{what}={text!r} names nothing: give mini, paper, or names separated by commas.")
    return names[0], names[1] if spec.models else []


def needs_data(table: str) -> str:
    """Which data set of a table has no stand-in in the mini world, in a sentence's words, or ""."""
    lacking = [name for name in rows_of(table)[0] if needs_root(place_of(name)[0])]
    return f"{lacking[0]} has no stand-in in the mini world: foir reproduce {table} --data-root FOLDER" if lacking else ""


def columns_of(spec: Table, methods: str = "") -> tuple[Column, ...]:
    """The table's columns, or those of ``methods``: names of its columns and of `foir methods`, separated by commas.

    A re-ranking follows its method after a plus: "GeM+DF". Raises InputError for an unknown name or option.
    """
    own = {column.name: column for column in spec.columns}
    if methods.strip() and not registry.split(methods):
        raise InputError(f"methods={methods!r} names nothing: give names of `foir methods` separated by commas, or none at all.")
    return tuple(own.get(name) or Column.of(name) for name in registry.split(methods)) or spec.columns


def heads_of(h_on: str) -> list[int]:
    """Numbers of heads from ``"1,2,5"``; none from "". Raises InputError for what isn't such a list."""
    try:
        return [count(int(n), "h_on") for n in str(h_on).split(",")] if str(h_on).strip() else []
    except ValueError as error:
        raise InputError(f"h_on={h_on!r} isn't a list of numbers from 1: give for example 5 or 1,2,5.") from error


def place_of(name: str, data_root: str = "", several: bool = False) -> tuple[str, Path | None, dict]:
    """The set behind a table's row, its root and options: with "+1m", oxford105k and paris106k, its distractors are added;
    "mini-needles(n=25)" has that option.

    Raises InputError for distractors without ``data_root`` and for options that can't be read.
    """
    name, options = registry.called(name)
    base, extra = DISTRACTORS.get(name, (name, None))
    if extra and not data_root:
        raise InputError(f"{name} needs data_root: the folder that holds {base} and {extra}.")
    root = as_path(data_root) / (folder(base) if several or extra else "") if data_root else None
    return base, root, options | ({"distractors": str(as_path(data_root) / extra)} if extra else {})


def check(values: dict) -> None:
    """Look at the parameters of a run of a table, name -> value, those of :func:`foir_lib.bench.rows.run`.

    Nothing is read but names: InputError or MissingError for a number that can't be, an unknown table, method, set, model or
    device, a place where nothing is, a model without published weights or of another kind than the table's (methods that are
    named may lack something, but not all of them), a damaged file of published numbers, and for things that don't go together.
    """
    table, files = values["table"], guests.named(values.get("guest") or "")
    weights, data_root = values.get("weights") or "", values.get("data_root") or ""
    for name, least in LEAST.items():
        count(values.get(name, least), name, least, MOST.get(name))
    if values.get("plugin"):
        registry.load_plugin(values["plugin"])
    spec, columns = find(table), columns_of(find(table), values.get("methods") or "")
    datasets, models = rows_of(table, values.get("dataset", "mini"), values.get("model", "mini"))
    _together(table, datasets, models, columns, files, weights)
    heads_of(values.get("h_on") or "")
    devices.choose(values.get("device")), devices.checked(values.get("precision", "fp32"))
    if table in published.tables():
        published.published(table)
    for guest, path in files.items():
        if guests.parted(path)[1] and not any(column.localise for column in spec.columns):
            raise InputError(f"Nothing is localised in {table}, so the masks of guest {guest!r} have no place there: name px-2.1 or px-2.2.")
    _there(os.path.isfile, weights=weights, detector=values.get("detector"))
    _there(os.path.isfile, **{f"attention {i}": path.strip() for i, path in enumerate((values.get("attention") or "").split(","), 1)})
    _there(os.path.isdir, training_root=values.get("training_root"))
    for name in datasets:
        base, root, options = place_of(name, data_root, len(datasets) > 1)
        opener("set", base, root, options, values.get("seed"))
        _there(os.path.isdir, data_root=root, distractors=options.get("distractors"))
    for name in models:
        kind = zoo.kind_of(name, not weights, values.get("out_index", -1))
        lacks = {one.name: _lacks(one.retriever, kind, name) for one in columns} if kind else {}
        lacking = [f"{method}, but {words}" for method, words in lacks.items() if words]
        if lacking and (len(lacking) == len(columns) or columns == spec.columns and not _mixed(spec)):
            raise InputError(f"{table} asks for {lacking[0]}, or methods that it can have.")


def _mixed(spec):
    """True for a table of ViTs and CNNs, with methods of either."""
    return len({zoo.kind_of(name, published=False) for name in spec.models}) > 1


def _together(table, datasets, models, columns, files, weights):
    """InputError for what can't serve several sets or models, or has a name twice."""
    if len(models) > 1 and weights:
        raise InputError(f"One weights file can't serve {len(models)} models: name one model.")
    if len(datasets) > 1 and files:
        raise InputError(f"A guest's file can't serve {len(datasets)} data sets: name one data set.")
    if files and (not models or find(table).judged):
        raise InputError(f"{table} {'judges a memory' if models else 'counts objects'}: a guest has no place in it.")
    if twice := files.keys() & {column.name for column in columns}:
        raise InputError(f"Guest {twice.pop()!r} has the name of a method of the table: name it otherwise.")


def _there(known, **paths):
    """MissingError unless each path, by the name of its parameter, is a file or a folder, as ``known`` of os.path says."""
    for name, path in paths.items():
        if path and not known(as_path(path)):
            raise MissingError(f"There is no {known.__name__[2:].replace('dir', 'folder')} at {path}: check {name}.")


def _lacks(retriever, kind, name):
    """Why a method can't be had with a network of a ``kind``, in a sentence's words, or ""."""
    unopened = SimpleNamespace(model=type(kind.__name__, (kind,), {"name": name}))
    return Retriever.lacks(retriever, unopened)
