"""XMP sidecars: the names and regions of a picture in the form of the Metadata Working Group, which photo programs read."""

import os
import re
from collections import defaultdict
from collections.abc import Iterable
from pathlib import Path
from xml.etree import ElementTree as ET

from foir_lib.errors import InputError
from foir_lib.files import as_path, atomic_write
from foir_lib.memory.state import Thing, View
from foir_lib.notices import note

SPACES = {
    "x": "adobe:ns:meta/",
    "rdf": "http://www.w3.org/1999/02/22-rdf-syntax-ns#",
    "xmp": "http://ns.adobe.com/xap/1.0/",
    "dc": "http://purl.org/dc/elements/1.1/",
    "mwg-rs": "http://www.metadataworkinggroup.com/schemas/regions/",
    "stDim": "http://ns.adobe.com/xap/1.0/sType/Dimensions#",
    "stArea": "http://ns.adobe.com/xmp/sType/Area#",
}
TOOL = "foir_lib memory"
NOT_XML = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\ud800-\udfff\ufffe\uffff]")
for prefix, address in SPACES.items():
    ET.register_namespace(prefix, address)


def sidecars(things: Iterable[Thing], folder: str | os.PathLike) -> list[Path]:
    """Writes ``NAME.xmp`` into ``folder`` for each picture that has a path: a region for each view, keywords for the names.

    Positions are shares of the picture as it is shown. Sidecars of another program stay as they are, which is noted.
    """
    folder, of_picture, written = as_path(folder), defaultdict(list), []
    if folder.exists() and not folder.is_dir():
        raise InputError(f"{folder} is a file: name a folder for the sidecars.")
    for thing in things:
        for view in thing.views:
            of_picture[view.path].append((thing, view))
    unnamed = of_picture.pop(None, [])
    note("views without a sidecar: their pictures came without a path", n=len(unnamed))
    for path, said in sorted(of_picture.items()):
        target = folder / f"{Path(path).name}.xmp"
        if target in written:
            target = folder / f"{Path(path).stem}-{said[0][1].picture[:8]}{Path(path).suffix}.xmp"
        if target.exists() and TOOL.encode() not in target.read_bytes():
            note("sidecars of other programs left as they are", target)
            continue
        atomic_write(target, sidecar(said))
        written.append(target)
    return written


def sidecar(said: list[tuple[Thing, View]]) -> bytes:
    """The sidecar of one picture, of the things that it shows."""
    root = ET.Element(_name("x:xmpmeta"))
    rdf = ET.SubElement(root, _name("rdf:RDF"))
    about = ET.SubElement(rdf, _name("rdf:Description"), {_name("rdf:about"): "", _name("xmp:CreatorTool"): TOOL})
    keywords = ET.SubElement(ET.SubElement(about, _name("dc:subject")), _name("rdf:Bag"))
    for name in dict.fromkeys(thing.name for thing, _ in said):
        ET.SubElement(keywords, _name("rdf:li")).text = _text(name)
    width, height = said[0][1].size
    regions = ET.SubElement(about, _name("mwg-rs:Regions"), {_name("rdf:parseType"): "Resource"})
    size = {"stDim:w": width, "stDim:h": height, "stDim:unit": "pixel"}
    ET.SubElement(regions, _name("mwg-rs:AppliedToDimensions"), {_name(key): str(value) for key, value in size.items()})
    bag = ET.SubElement(ET.SubElement(regions, _name("mwg-rs:RegionList")), _name("rdf:Bag"))
    for thing, view in said:
        x0, y0, x1, y1 = view.box or (0, 0, *view.size)
        area = {"x": (x0 + x1) / 2 / view.size[0], "y": (y0 + y1) / 2 / view.size[1], "w": (x1 - x0) / view.size[0], "h": (y1 - y0) / view.size[1]}
        item = ET.SubElement(ET.SubElement(bag, _name("rdf:li")), _name("rdf:Description"), {_name("mwg-rs:Name"): _text(thing.name)})
        if thing.properties:
            item.set(_name("mwg-rs:Description"), _text("; ".join(f"{key}: {value}" for key, value in thing.properties.items())))
        numbers = {_name(f"stArea:{key}"): f"{value:.6f}" for key, value in area.items()}
        ET.SubElement(item, _name("mwg-rs:Area"), {**numbers, _name("stArea:unit"): "normalized"})
    ET.indent(root)
    return b'<?xpacket begin="\xef\xbb\xbf" id="W5M0MpCehiHzreSzNTczkc9d"?>\n' + ET.tostring(root, "utf-8") + b'\n<?xpacket end="w"?>\n'


def _name(short):
    prefix, _, name = short.partition(":")
    return f"{{{SPACES[prefix]}}}{name}"


def _text(name):
    """Text as XML can hold it."""
    return NOT_XML.sub("\ufffd", name)
