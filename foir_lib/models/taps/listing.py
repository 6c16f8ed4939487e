"""The friendly names of networks as a table: what each is, whose licence it has, and what can be asked of it. Read, not computed."""

import json

from foir_lib.files import manifest_root

ASKS = {"CLS": "heads, patches", "pooler": "heads, patches", "average": "patches", "maps": "maps"}  # by what a network's vector is read out of
COLUMNS = {"heads": ">5", "width": ">5", "tokens": ">6"}
MEANING = (
    "heads: head selection, foveal attention and attention masks, of a CLS token or a pooler (SigLIP, PE-core).",
    "patches: localisers; CBIR, Mask and Crop are for all. maps: methods on CNNs. texts: its vectors lie where those of its texts do.",
    "Width of a vector before any projection; tokens of a picture of 224 x 224 pixels (the mini networks: of their own).",
)


def manifest() -> list[dict]:
    """What data_manifests/models.json says of each friendly name."""
    return json.loads((manifest_root() / "models.json").read_text(encoding="utf-8"))["models"]


def asked(model: dict) -> str:
    """What can be asked of a model of the manifest."""
    return ASKS[model["reads"]] + (", texts" if model["texts"] else "")


def lines() -> list[str]:
    """A head line, and a line for each name: heads, width, tokens, what can be asked, licence, and timm's name."""
    models = manifest()
    names, asks, terms = ([text, *(of(model) for model in models)] for text, of in (("name", _name), ("can be asked", asked), ("licence", _licence)))
    cells = [[head, *("-" if model[head] is None else str(model[head]) for model in models)] for head in COLUMNS]
    wide = [max(map(len, column)) for column in (names, asks, terms)]
    timms = ["timm", *(model["timm"] or "part of this workbook" for model in models)]
    rows = zip(names, *cells, asks, terms, timms, strict=True)
    return [
        f"{name:{wide[0]}}  " + " ".join(f"{cell:{form}}" for cell, form in zip(numbers, COLUMNS.values())) + f"  {ask:{wide[1]}}  {term:{wide[2]}}  {timm}"
        for name, *numbers, ask, term, timm in rows
    ]


def _name(model):
    return model["name"]


def _licence(model):
    """A licence without what stands in brackets behind it, with a star where there is a note on access."""
    return model["licence"].split(" (")[0].split(":")[0] + ("*" if "access" in model else "")


def notes() -> list[str]:
    """What the columns mean, and the notes on licences, each with the names that it is of."""
    said = {}
    for model in manifest():
        if "access" in model:
            said.setdefault(model["access"], []).append(model["name"])
    return [*MEANING, *(f"* {', '.join(names)}: {note}" for note, names in said.items())]
