"""Explorers whose lists get outlines of what the query asks for, once they stand."""

from markupsafe import Markup

from foir_lib.errors import FoirError, InputError
from foir_lib.retrievers.base import Localiser
from foir_lib.retrievers.pixels import asking
from foir_lib.text import markup
from foir_lib.view.explorers.base import Explorer
from foir_lib.view.explorers.comparison import Comparison
from foir_lib.view.results import rows
from foir_lib.view.widgets import outlines
from foir_lib.view.widgets.live import Words

NONE = "none"
LEGEND = Markup(
    "Outlines: <b>✓</b> solid, IoU of at least 0.5; <b>✗</b> dashed, less, or nothing of it is there; dotted, nobody knows. Click one to ask with it."
)


class Outlined(Explorer):
    """Explorers whose lists get outlines once they stand. ``results``: title of a list -> its table; ``comparison``: that it is of.

    ``localiser`` is the menu of those that can be had, "" for none; :attr:`outlines` holds what has come.
    """

    results: dict
    comparison: Comparison

    def _start_outlines(self, corpus, localiser: str | Localiser):
        """The menu, with ``localiser`` chosen ("": none), and what follows it; before the page is laid out."""
        self.localisers = outlines.offered(corpus)
        if localiser:
            one = asking.parsed(localiser)
            if lacks := one.lacks(corpus):
                raise InputError(f"{one} can't be had here: {lacks}.")
            self.localisers |= {str(one): one}
        self.outlines, self._truth = outlines.Outlines(corpus, self._outline), outlines.Truth(corpus.set)
        options, shown = [(NONE, ""), *((name, name) for name in self.localisers)], None if self.localisers else "none"
        value = str(asking.parsed(localiser)) if localiser else ""
        self.localiser = self.control("Dropdown", "outlines:", self.follow, options=options, value=value)
        self.localiser.layout.display, self.outlined = shown, Words()
        self.gallery.on_outline(lambda row: self.clicked(lambda: self.ask_with(row)))

    def _begin(self):
        """Show what the panel asks with; closed again where that can't be."""
        self.begin(lambda: not self.results and self.panel.canvas.picture is not None)

    def follow(self) -> None:
        """Ask the chosen localiser about the pictures of the lists; they stand meanwhile."""
        localiser, wanted = self.localisers.get(self.localiser.value), self._wanted()
        if localiser is None or not wanted:
            self.outlines.clear()
        else:
            self.outlines.follow(localiser, self.comparison.part, wanted)
        self._outline()

    def ask_with(self, row: int) -> None:
        """Make the outline on a result, a database row, the query. Raises InputError where there is none."""
        with self.saying():
            self._ask_with(row, self._outline_on(row))

    @property
    def state(self) -> dict:
        """As of any explorer; and the localiser, and for each outline its database row, kind and words."""
        known = {row: self._drawn(row) for row in self._wanted()}
        shown = [[row, one["kind"], one["words"]] for row, one in known.items() if one]
        return super().state | {"localiser": self.localiser.value, "outlines": shown, "outlined": self.outlined.text}

    def wait(self) -> None:
        super().wait()
        self.outlines.wait()

    def leave(self) -> None:
        self.outlines.close()
        super().leave()

    def _wanted(self):
        """Database rows whose outlines are shown."""
        return [int(row) for table in self.results.values() for row in table["row"]]

    def _verdicts(self):
        """What is right, of each database row, or None."""
        return rows.verdicts(self.corpus.set, self.panel.label)

    def _outline_on(self, row):
        outline = self.outlines.outlines.get(row) if self.localiser.value else None
        if outline is None or outline.prompt is None:
            raise InputError(f"There is no outline on database row {row!r} to ask with: choose a localiser, or another result.")
        return outline.prompt

    def _ask_with(self, row, prompt):
        self.panel.ask(prompt, self.comparison.ids[row])

    def _drawn(self, row, alone=False):
        """The outline on a row as the gallery draws it, or None; ``alone``: also where it was asked for by itself, none is chosen for all."""
        one = self.outlines.outlines.get(row) if self.localiser.value or alone else None
        if one is None:
            return None
        right = self._verdicts()
        return outlines.drawn(one, None if right is None else right[row], self._truth.iou(self.panel.label, row, one.localisation))

    def _outline(self):
        """Draw what has come, and say what is to come."""
        try:
            known = {row: self._drawn(row) for row in self._wanted()}
            problem = self.outlines.problem
        except FoirError as error:  # the truth of a picture is broken
            known, problem = {}, str(error)
        lists = [[known.get(item["key"]) if row["title"] in self.results else None for item in row["items"]] for row in self.gallery.rows]
        self.gallery.outline(lists if any(map(any, lists)) else [])
        words = LEGEND if self.localiser.value and any(known.values()) else ""
        if self.outlines.waiting:
            words = f"{self.localiser.value} is looking at the results …"
        self.outlined.value = markup('<span role="status">{}</span>', problem) if problem and self.localiser.value else words
        self.outlined.layout.display = None if self.outlined.value else "none"
