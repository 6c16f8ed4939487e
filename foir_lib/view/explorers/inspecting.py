"""Explorers whose results can be enlarged, asked with, and handed out as files and code."""

from foir_lib.errors import InputError
from foir_lib.text import SENTENCE, one_line
from foir_lib.view.explorers.base import Explorer
from foir_lib.view.explorers.comparison import Comparison
from foir_lib.view.results import exports, records
from foir_lib.view.widgets.gallery import Gallery
from foir_lib.view.widgets.results.inspector import Inspector
from foir_lib.view.widgets.thumbs import Thumbs

LONGEST, KEPT = 480, 64  # pixels of an enlarged picture's longer side, pictures in memory


class Inspecting(Explorer):
    """Explorers with lists whose results are enlarged below them. ``results``: title of a list -> its table; ``comparison``: that it is of.

    Hover, focus, 1 to 9 and Space enlarge; buttons ask with the result, and export what is listed.
    """

    results: dict
    comparison: Comparison
    inspector: Inspector | None = None

    def _start_inspecting(self, corpus, gallery: Gallery):
        """The inspector of the lists in ``gallery``; before the page is laid out."""
        self.inspector, self._inspected, self._large = Inspector(), gallery, Thumbs(corpus.set, LONGEST, KEPT)
        gallery.add_class("foir-inspected")
        self.inspector.on_look(self._looked)
        self.inspector.on_use(lambda name: self.clicked(lambda: self._use_result(name)))

    def enlarge(self, row: int, method: str | None = None) -> None:
        """Enlarge the result that is a database row, in the list of a method (None: the first that has it). InputError where it isn't listed."""
        with self.saying():
            names = [name for name, table in self.results.items() if method in (None, name) and row in table["row"].to_numpy()]
            if not names:
                raise InputError(f"Database row {row!r} is not in {method or 'these lists'}: choose a result that is shown.")
            self._enlarge(names[0], row)

    def export(self, kind: str) -> tuple[str, bytes]:
        """Query, mark and lists as (name, bytes) of a file, "png" or "json". Raises InputError where nothing is listed."""
        tables = {name: table for name, table in self.results.items() if len(table)}
        if not tables or kind not in ("png", "json"):
            raise InputError(f"There is nothing to export as {kind!r}: ask with a picture, then take 'png' or 'json'.")
        picture, image_id, prompt, label = self._asked()
        if kind == "png":
            content = exports.as_png(self._set, picture, prompt, label, tables)
        else:
            content = exports.as_json(self._set, self._model.name, image_id, prompt, label, tables, self.code)
        return f"{exports.file_name(self._set.name, image_id, label)}.{kind}", content

    @property
    def code(self) -> str:
        """A line of Python that gives the same lists of a ``corpus``, or "" where nothing is listed."""
        tables = [table for table in self.results.values() if len(table)]
        if not tables:
            return ""
        _, image_id, prompt, _ = self._asked()
        return exports.as_code(prompt, image_id, self._asked_with(), max(map(len, tables)))

    @property
    def state(self) -> dict:
        """As of any explorer; and what is enlarged (its title and words), whether it stays, and the line of code."""
        if self.inspector is None:
            return super().state
        record = self.inspector.record
        return super().state | {
            "enlarged": record["title"], "words": [words for _, words, _ in record["lines"]], "pinned": self.inspector.pinned, "code": self.inspector.code,
        }  # fmt: skip

    def leave(self) -> None:
        if self.inspector is not None:
            self._large.close()
        super().leave()

    # ---- what an explorer may say otherwise

    @property
    def _set(self):
        return self.comparison.corpus.set

    @property
    def _model(self):
        return self.comparison.corpus.model

    def _asked(self):
        """(picture, image id or None, prompt, label) that the lists answer to."""
        panel = self.panel
        return panel.canvas.picture, panel.image_id, panel.canvas.asks, panel.label

    def _asked_with(self):
        """The methods of the lists, in the text that names them."""
        return list(self.results)

    def _beside(self, method, row):
        """What the method knows of a result besides: dots to draw on its picture, and words."""
        return (), ""

    def _outline_of(self, row):
        """The outline on a database row, as the gallery draws it, or None."""
        return None

    # ---- what happens on the page

    def _inspect(self):
        """The lists are new: what was enlarged is enlarged again, or else the first result of the last list."""
        title, key = self._title_of(self.inspector.record["row"]), self.inspector.record["key"]
        table = self.results.get(title)
        if table is None or key not in table["row"].to_numpy():
            tables = {name: one for name, one in self.results.items() if len(one)}
            title, key = (None, None) if not tables else ((name := list(tables)[-1]), int(tables[name]["row"].iloc[0]))
            self.inspector.pinned = False
        self.inspector.code = self.code
        self._enlarge(title, key) if title else self.inspector.show(None)

    def _title_of(self, place):
        """The list that a row of the gallery is of; one of maps belongs to the list above it."""
        names = {one_line(name, SENTENCE): name for name in self.results}  # as the gallery writes them
        if not isinstance(place, int) or not 0 <= place < len(self._inspected.rows):
            return None
        return next((names[row["title"]] for row in reversed(self._inspected.rows[: place + 1]) if row["title"] in names), None)

    def _looked(self, key, place):
        """The mouse rests on a result, or a key asks for it; one that has left the list meanwhile changes nothing."""
        title = self._title_of(place)
        if title is not None and key in self.results[title]["row"].to_numpy():
            self._enlarge(title, int(key))

    def _enlarge(self, title, row):
        table, first = self.results[title], next(iter(self.results))
        result = next(table[table["row"] == row].itertuples())
        thumb, (dots, beside) = self._large.get([result.image_id])[0], self._beside(title, row)
        record = records.enlarged(
            self._set, result, title, None if title == first else first, self._asked()[3], thumb.image, self._outline_of(row), dots, beside
        )
        place = [one["title"] for one in self._inspected.rows].index(one_line(title, SENTENCE))
        if thumb.problem:
            record["lines"] = [*record["lines"], ("", thumb.problem, "")]
        self.inspector.show(record | {"row": place})

    def _use_result(self, name):
        if name != "ask":
            return self.inspector.download(*self.export(name))
        if (row := self.inspector.record["key"]) is None:
            raise InputError("No result is enlarged to ask with: point at one.")
        self._ask_with_result(row)

    def _ask_with_result(self, row):
        """Make a database row the query."""
        self.panel.ask(picture=self.comparison.ids[row])
