"""``foir demo``: the page of explorers, of the drawn world or of one's own photographs."""

from typing import Annotated

import typer

from foir_lib import text
from foir_lib.errors import InputError

Text = str | None
VOILA = {"allow_extra_args": True, "ignore_unknown_options": True}  # --port=8877, --theme=dark: Voila's own


def demo(
    context: typer.Context,
    pictures: Annotated[Text, typer.Argument(help="A folder of photographs, or a data set of foir data list.")] = None,
    root: Annotated[Text, typer.Option(help="Folder of that data set; default: FOIR_DATA/NAME.")] = None,
    model: Annotated[Text, typer.Option(help="See foir models; for photographs dinov2-base, about 350 MB, fetched once.")] = None,
    weights: Annotated[Text, typer.Option(help="Local weights file of that model.")] = None,
    device: Annotated[Text, typer.Option(help="auto (cuda, mps or cpu), cpu, cuda, cuda:1, mps")] = None,
    parameter: Annotated[list[str] | None, typer.Option("-p", metavar="NAME VALUE", help="Any other parameter of the page's notebook.")] = None,
    no_browser: Annotated[bool, typer.Option("--no-browser", help="Only serve: the address is printed.")] = False,
):
    """Point, drag and paint on your own photographs: indexed once, then one page in the browser.

    Without PICTURES: the drawn world. What is indexed is stored; after a stop, and where pictures were added, removed, renamed
    or edited, only what is new is looked at. Options of Voila, such as --port=8877 and --theme=dark, are passed on.
    """
    values = {"model": model, "weights": weights, "device": device, "data_root": root}
    values |= text.pairs(parameter or [], values)
    words = [word for word in (pictures, *context.args) if word]  # typer takes an option of Voila for the folder, where it stands first
    places = [word for word in words if not word.startswith("-")]
    if len(places) > 1:
        raise InputError(f"{' and '.join(places)} are several: give one folder or data set, and options of Voila as --name=value.")
    from foir_lib.view import own

    own.demo(places[0] if places else None, values, [*(word for word in words if word.startswith("-")), *["--no-browser"] * no_browser])
