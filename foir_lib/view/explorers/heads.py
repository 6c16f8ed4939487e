"""HeadExplorer: point at something and see which heads look there, which are kept, and what that does to the descriptor."""

import numbers

import ipywidgets
import numpy as np

from foir_lib.errors import FoirError, InputError
from foir_lib.methods import head_selection
from foir_lib.search.asking import STRATEGY
from foir_lib.view.figures import parts
from foir_lib.view.widgets import maps
from foir_lib.view.widgets.canvas import PromptCanvas
from foir_lib.view.widgets.gallery import Gallery
from foir_lib.view.widgets.live import close_parts, replace_earlier

ASK = "Click a point, draw a box or paint a mask on the picture: the heads that look there will be kept."


class HeadExplorer(ipywidgets.VBox):
    """All heads of one block of ``model`` on one picture, and the choice that a prompt makes among them.

    ``picture`` (PIL) or the ``canvas`` of another explorer; ``h_on``: heads to keep (a model with fewer starts with half of its own).
    A click on a head takes it in or out by hand, until the prompt changes or PHS is asked again.

    heads: bool (h,), kept in the last block, or None without a prompt. roi_attention: (h,) of the block shown
    (PHS eq. 7), or None. cosine: of the descriptor with these heads to the plain one, or None. on_roi: the share that
    the kept heads hold of all heads' attention on the ROI, or None.
    """

    def __init__(self, model, picture=None, canvas=None, h_on=5):
        if not isinstance(h_on, numbers.Integral) or h_on < 1:
            raise InputError(
                f"h_on={h_on} must be a whole number between 1 and {model.n_heads}, the heads of the model."
            )
        if picture is not None and canvas is not None:
            raise InputError("A picture and a canvas are given: show the picture on the canvas, or leave one out.")
        self.model, self.heads, self.roi_attention, self.cosine, self.on_roi = model, None, None, None, None
        self._by_hand, self._complained, self._own = None, False, canvas is None  # by hand: bool (h,)
        self.canvas = canvas if canvas is not None else PromptCanvas(picture, grid=model.grid)
        self.gallery, self._words, self._chart = Gallery(), ipywidgets.HTML(), ipywidgets.HTML()
        last = model.depth - 1
        blocks = [(f"{i} (last)" if i == last else f"{i}", i) for i in range(last, -1, -1)]
        start = h_on if h_on <= model.n_heads else max(1, model.n_heads // 2)
        self.h_on = self._control("IntSlider", "heads kept, h_on", value=int(start), min=1, max=model.n_heads)
        self.roi = self._control("Dropdown", "ROI attention", options=head_selection.ROI_STRATEGIES)
        self.strategy = self._control("Dropdown", "other heads off", options=head_selection.STRATEGIES, value=STRATEGY)
        self.layer = self._control("Dropdown", "block shown", options=blocks, value=last)
        self.choose = ipywidgets.Button(
            description="PHS chooses", disabled=True, tooltip="Forget the heads picked by hand"
        )
        controls = ipywidgets.HBox([self.h_on, self.roi, self.strategy, self.layer, self.choose])
        beside = ipywidgets.VBox([controls, self._words, self._chart])
        top = ipywidgets.HBox([self.canvas, beside] if self._own else [beside])
        for box in (controls, top):
            box.layout.flex_flow, box.layout.grid_gap = "row wrap", "0 14px"
        beside.layout.flex, beside.layout.min_width, beside.layout.width = "1 1 420px", "0", "auto"
        if self._own:
            self.canvas.layout.flex, self.canvas.layout.max_width = "1 1 300px", "400px"
        super().__init__([top, self.gallery])
        self._controls = (self.h_on, self.roi, self.strategy, self.layer)
        for control in self._controls:
            control.observe(self._control_moved, "value")
        self.choose.on_click(self._chosen_by_phs)
        self.gallery.on_pick(self.pick)
        self.canvas.on_change(self._asked)
        self.canvas.observe(self._canvas_closed, "comm")
        self._show()
        replace_earlier(self)

    def _control(self, kind, description, **options):
        more = {"continuous_update": False} if kind == "IntSlider" else {}
        control = getattr(ipywidgets, kind)(
            description=description, style={"description_width": "initial"}, **more, **options
        )
        control.layout.width = "250px" if more else "auto"
        return control

    def __repr__(self):
        return f"HeadExplorer ({self.model.name}, {self.model.n_heads} heads, {self.canvas.asks or 'no prompt'})"

    def close(self):
        """Leave the page: every part is closed (a shared canvas stays) and nothing is called any more."""
        if self.comm is None:  # never shown, or closed already
            return
        self.canvas.on_change(self._asked, remove=True)
        self.canvas.unobserve(self._canvas_closed, "comm")
        close_parts(self, keep=None if self._own else self.canvas)
        super().close()

    def pick(self, head):
        """Take a head in or out by hand, as a click on its map does; InputError where nothing can be picked."""
        if head not in range(self.model.n_heads):
            raise InputError(f"There is no head {head!r}: {self.model.name} has heads 0 to {self.model.n_heads - 1}.")
        if not self._last:
            raise InputError(
                f"Heads are kept in the last block: show block {self.model.depth - 1} to pick them by hand."
            )
        before, self._by_hand = self._by_hand, self._toggled(head)
        try:
            self._show()
        except FoirError:
            self._by_hand = before
            raise

    def _canvas_closed(self, change):
        if change["new"] is None:
            self.close()

    def _asked(self, canvas):
        self._by_hand = None
        self._show()  # the canvas says what goes wrong

    def _control_moved(self, change):
        if change["owner"] in (self.h_on, self.roi):
            self._by_hand = None
        self._try()

    def _chosen_by_phs(self, button):
        self._by_hand = None
        self._try()

    def _toggled(self, head):
        heads = np.zeros(self.model.n_heads, bool) if self.heads is None else self.heads.copy()
        heads[head] = not heads[head]
        return heads

    def _try(self):
        """Show anew; what goes wrong is said below the picture, and what was shown stays."""
        try:
            self._show()
        except FoirError as error:
            self._complained = True
            self.canvas.say(str(error), error=True)
            return
        if self._complained:
            self._complained = False
            self.canvas.say("")

    def _show(self):
        """Compute everything, then show it."""
        if self.canvas.picture is None:
            self.heads = self.roi_attention = self.cosine = self.on_roi = None
            self._words.value, self._chart.value = (
                "There is no picture yet: open one to see what the heads look at.",
                "",
            )
            self.gallery.show([])
            return
        sight, prompt, layer = self.canvas.sight(self.model), self.canvas.asks, self.layer.value
        roi = None if prompt is None else sight.roi(prompt)
        heads = self._choice(sight, roi)
        cosine = None if heads is None else self._cosine(sight, heads)
        attention = sight.attention[layer].cpu().numpy()
        shares = None if roi is None else sight.roi_attention(prompt, self.roi.value, layer).cpu().numpy()
        on_roi = None
        if heads is not None and roi is not None:
            every = head_selection.roi_attention(sight.state, roi)[0].cpu().numpy()
            on_roi = float(every[heads].sum() / every.sum())
        self.heads, self.roi_attention, self.cosine, self.on_roi = heads, shares, cosine, on_roi
        self.choose.disabled = self._by_hand is None
        top, grid = parts.scale_of(100 * attention), self.model.grid
        inside = None if roi is None else roi[0].cpu().numpy().reshape(grid)
        files = maps.overlays(sight.picture, 100 * attention.reshape(-1, *grid), top, inside)
        self._words.value = f'<div data-foir="heads" style="line-height:1.5">{"<br>".join(self._sentences())}</div>'
        self._chart.value = self._bars() + maps.colour_bar(top)
        shown = [self._item(i, file) for i, file in enumerate(files)]
        wide = min(len(shown), 6 if len(shown) <= 12 else 8)
        rows = [{"items": shown[i : i + wide]} for i in range(0, len(shown), wide)]
        self.gallery.show([rows[0] | {"title": self._title()}, *rows[1:]])

    def _choice(self, sight, roi):
        """bool (h,): by hand, or by PHS; None without a prompt."""
        if self._by_hand is not None:
            return self._by_hand
        return (
            None
            if roi is None
            else head_selection.select(sight.state, roi, self.h_on.value, self.roi.value)[0].cpu().numpy()
        )

    def _cosine(self, sight, heads):
        changed = head_selection.descriptor(self.model, sight.state, heads, self.strategy.value)
        return float((changed * sight.descriptor()[0]).sum())

    @property
    def _last(self):
        return self.layer.value == self.model.depth - 1

    def _title(self):
        return f"Block {self.layer.value}{', the last' if self._last else ''}: attention from CLS to the patches, all heads on one scale"

    def _sentences(self):
        """What was chosen and what it does, in words."""
        said = [ASK] if self.canvas.asks is None else []
        if self.heads is not None:
            by = "picked by hand" if self._by_hand is not None else "kept"
            said.append(
                f"Cosine to the plain descriptor <b>{self.cosine:.2f}</b>; heads {by}: <b>{', '.join(map(str, np.flatnonzero(self.heads)))}</b>"
            )
            said[-1] += (
                "." if self.on_roi is None else f"; they hold {100 * self.on_roi:.0f} % of all attention on the ROI."
            )
        if not self._last:
            said.append(
                f"Block {self.layer.value} is only shown: PHS chooses in the last block, {self.model.depth - 1}, and its choice stays."
            )
        return said

    def _bars(self):
        """The chart of the block shown; chosen heads and the cut are those of the last block, and stand there alone."""
        if self.roi_attention is None:
            return ""
        how = (
            "attention on the ROI (%)" if self.roi.value == "sum" else "attention on the brightest patch of the ROI (%)"
        )
        chosen = self.heads if self._last else None
        cut = None if chosen is None or self._by_hand is not None else float(self.roi_attention[chosen].min())
        return maps.bars(self.roi_attention, chosen, cut, f"block {self.layer.value}: {how}", f"foir-{self.model_id}")

    def _item(self, head, file):
        kept = self._last and self.heads is not None and bool(self.heads[head])
        share = None if self.roi_attention is None else float(min(1, self.roi_attention[head]))
        told = "" if share is None else f"\n{100 * share:.0f} %"
        where = "the ROI" if self.roi.value == "sum" else "the brightest patch of the ROI"
        words = f"head {head}" + ("" if share is None else f", {100 * share:.0f} percent of its attention on {where}")
        return {
            "key": head,
            "image": file,
            "caption": f"head {head}{told}",
            "alt": words,
            "bar": share,
            "frame": "chosen" if kept else "",
        }
