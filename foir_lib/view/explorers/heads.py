"""HeadExplorer: point at something and see which heads look there, which are kept, and what that does to descriptor and lists."""

import numpy as np
import torch
from markupsafe import Markup
from PIL import Image

from foir_lib.errors import InputError, count
from foir_lib.methods import head_selection
from foir_lib.models.vit import ClsState, ViT
from foir_lib.registry import register
from foir_lib.retrievers.baselines import CBIR
from foir_lib.retrievers.heads import PHS
from foir_lib.text import markup, percent, score
from foir_lib.view.explorers.base import wrapped
from foir_lib.view.explorers.comparison import Comparison
from foir_lib.view.explorers.inspecting import Inspecting
from foir_lib.view.explorers.options import HEADS, ROI
from foir_lib.view.explorers.panel import QueryPanel
from foir_lib.view.figures.heads import EVEN
from foir_lib.view.results import rows
from foir_lib.view.results.picked import Picked
from foir_lib.view.widgets import maps
from foir_lib.view.widgets.gallery import Gallery
from foir_lib.view.widgets.live import Words

ASK = "Click a point, draw a box or paint a mask on the picture: the heads that look there will be kept."
EMPTY = "There is no picture yet: open one to see what the heads look at."
STRATEGY = "before+scale"  # of PHS itself
K = 10  # results of a list
CUT = 0.98  # share of all patches of all heads that the scale of the maps holds: on photographs a few bright ones would blacken all others


@register("explorer", "Heads")
class HeadExplorer(Inspecting):
    """All heads of one block of ``model`` on one picture, the choice that a prompt makes among them, and what it finds.

    ``picture`` (PIL) or the ``panel`` of another explorer; ``corpus``: of that model, whose lists by CBIR, PHS and the heads picked
    by hand stand below the heads; None for no lists. ``h_on``: heads to keep (a model with fewer starts with half of its own).
    A click on a head takes it in or out by hand, until the prompt changes or PHS chooses again.

    heads: bool (h,), kept in the last block, or None without a prompt. attention: (depth, h, N) of the picture, from CLS to the
    patches. roi_attention: (h,) of the block shown (PHS eq. 7), or None. cosine: of the descriptor with these heads to the plain
    one, or None. on_roi: the share that the kept heads hold of all heads' attention on the ROI, or None. even: the ROI's share of
    all patches, or None. results: title of a list -> table as of RetrievalExplorer.
    """

    shows = "what each attention head looks at, and which ones PHS keeps for the mark"

    def __init__(
        self, model: ViT, picture: Image.Image | None = None, panel: QueryPanel | None = None, h_on: int = 5, corpus=None,
    ):  # fmt: skip
        count(h_on, "h_on")
        if picture is not None and panel is not None:
            raise InputError("A picture and a panel don't go together: show the picture on the panel, or leave one out.")
        self.model, self.heads, self.roi_attention, self.cosine, self.on_roi, self.even = model, None, None, None, None, None
        self.attention = self._state = self._looked_at = self._by_hand = None  # by hand: bool (h,)
        own = panel is None
        panel = QueryPanel(model=model, picture=picture) if own else panel
        self.gallery, self.words, self.chart = Gallery(), Words(), Words()
        self.gallery.add_class("foir-maps")
        self.results, self.lists, self.comparison = {}, None, None
        if corpus is not None:
            self.lists, self.comparison = Gallery(one_line=True), Comparison(corpus)
            self._start_inspecting(corpus, self.lists)
            self.lists.on_pick(lambda row: self.clicked(lambda: self._ask_with_result(row)))
        last = model.depth - 1
        blocks = [(f"{i} (last)" if i == last else f"{i}", i) for i in range(last, -1, -1)]
        start = h_on if h_on <= model.n_heads else max(1, model.n_heads // 2)
        self.h_on = self.control("IntSlider", "heads kept (h_on)", self._again, tooltip=HEADS, value=int(start), min=1, max=model.n_heads)
        self.roi = self.control("Dropdown", "ROI attention", self._again, tooltip=ROI, options=head_selection.ROI_STRATEGIES)
        strategies = {"options": head_selection.STRATEGIES, "value": STRATEGY}
        self.strategy = self.control("Dropdown", "other heads off", self.show, **strategies)
        self.layer = self.control("Dropdown", "block shown", self.show, options=blocks, value=last)
        self.choose = self.button("PHS chooses", self._again, disabled=True, tooltip="Forget the heads picked by hand")
        self.gallery.on_pick(self.pick)
        controls = wrapped(self.h_on, self.roi, self.strategy, self.layer, self.choose, self.chart, gap="0 14px")
        below = [self.gallery] if corpus is None else [self.gallery, self.lists, self.inspector]
        super().__init__(panel, [controls, self.words, *below], own)
        self.show()

    @classmethod
    def tab(cls, corpus, panel):
        return cls(corpus.model, panel=panel, corpus=corpus)

    @classmethod
    def lacks(cls, corpus) -> str:
        return "" if hasattr(corpus.model, "cls_state") else f"{corpus.model.name} has no attention heads: name a ViT such as mini-vit"

    def __repr__(self):
        return f"HeadExplorer ({self.model.name}, {self.model.n_heads} heads, {self.canvas.asks or 'no prompt'})"

    @property
    def state(self) -> dict:
        """As of any explorer; and the heads, whether they are picked by hand, ROI attention, cosine, share on the ROI, words."""
        return super().state | {
            "heads": None if self.heads is None else np.flatnonzero(self.heads).tolist(), "by_hand": self._by_hand is not None,
            "roi_attention": None if self.roi_attention is None else self.roi_attention.tolist(),
            "cosine": self.cosine, "on_roi": self.on_roi, "words": self.words.value, "chart": self.chart.value,
        }  # fmt: skip

    def pick(self, head: int) -> None:
        """Take a head in or out by hand, as a click on its map does; InputError where nothing can be picked."""
        if head not in range(self.model.n_heads):
            raise InputError(f"There is no head {head!r}: {self.model.name} has heads 0 to {self.model.n_heads - 1}.")
        if not self._last:
            raise InputError(f"Heads are kept in the last block: show block {self.model.depth - 1} to pick them by hand.")
        others = np.zeros(self.model.n_heads, bool) if self.heads is None else self.heads
        self.show_with("_by_hand", others ^ (np.arange(self.model.n_heads) == head))

    def _query_changed(self, panel=None):
        self._by_hand = None
        super()._query_changed(panel)

    def _again(self):
        """PHS chooses again."""
        self._by_hand = None
        self.show()

    def show(self) -> None:
        picture = self.canvas.picture
        if picture is None:
            self.heads = self.roi_attention = self.cosine = self.on_roi = self.even = None
            self.words.value, self.chart.value = EMPTY, ""
            self.gallery.show([])
            return
        if self._looked_at is not picture:
            x = self.model.preprocess(picture)[None]
            self._state, self.attention, self._looked_at = self.model.cls_state(x), self.model.attention(x)[0], picture
        listed = self._listed()
        prompt, layer, grid = self.canvas.asks, self.layer.value, self.model.grid
        roi = None if prompt is None else torch.from_numpy(prompt.tokens(grid, picture.size))[None]
        heads, attention, cosine, shares, on_roi = self._by_hand, self.attention[layer].cpu().numpy(), None, None, None
        if roi is not None:
            if heads is None:
                heads = head_selection.select(self._state, roi, self.h_on.value, self.roi.value)[0].cpu().numpy()
            block = ClsState(self.attention[layer][None], None, None, None)
            shares = head_selection.roi_attention(block, roi, self.roi.value)[0].cpu().numpy()
            every = head_selection.roi_attention(self._state, roi)[0].cpu().numpy()
            on_roi = float(every[heads].sum() / every.sum())
        if heads is not None:
            changed = head_selection.descriptor(self.model, self._state, heads, self.strategy.value)
            cosine = float((changed * self.model.descriptor(self._state)).sum())
        self.heads, self.roi_attention, self.cosine, self.on_roi = heads, shares, cosine, on_roi
        self.choose.disabled = self._by_hand is None
        self.even = None if roi is None else float(roi.float().mean())
        top, inside = self.scale_of(attention), None if roi is None else roi[0].numpy().reshape(grid)
        files = maps.overlays(picture, 100 * attention.reshape(-1, *grid), top, inside)
        self.words.value = markup('<div data-foir="heads" style="line-height:1.4">{}</div>', Markup("<br>").join(self._sentences()))
        self._top = 1.0 if shares is None else min(1.0, maps.ceiling(100 * float(shares.max())) / 100)
        self.chart.value = maps.colour_bar(top, above=100 * float(attention.max()) > top)
        title = f"Block {layer}{', the last' if self._last else ''}: attention from CLS, all heads on one scale"
        note = "" if shares is None else f"bar: {self._where()}, from 0 to {percent(self._top)}; line: {percent(self.even)}, the part of the picture that the patches of the mark cover"
        self.gallery.show([{"items": [self._item(i, file) for i, file in enumerate(files)], "title": title, "note": note}])
        self.summary = "" if heads is None else self._kept()
        if self.comparison is not None:
            self._show_lists(listed)

    @staticmethod
    def scale_of(attention: np.ndarray) -> float:
        """Where the scale of the maps of all heads, ``attention`` (h, N), ends, in percent: as in the figures at eight even shares, or before."""
        return min(float(np.quantile(100 * attention, CUT)), EVEN * 100 / attention.shape[1]) or 1.0

    def _listed(self):
        """The answers of the methods whose lists stand below."""
        if self.comparison is None:
            return {}
        options = {"strategy": self.strategy.value}
        methods = [CBIR(), PHS(h_on=self.h_on.value, roi=self.roi.value, **options)]
        if self._by_hand is not None and self._by_hand.any():
            methods.append(Picked(heads=tuple(np.flatnonzero(self._by_hand).tolist()), **options))
        panel = self.panel
        return self.comparison.answers(panel.canvas.picture, panel.canvas.asks, methods, panel.image_id)

    def _show_lists(self, answers):
        label = self.panel.label
        results, shown = self.comparison.listed(answers, K, rows.verdicts(self._set, label), label)
        self.lists.show(shown)
        self.results = results
        self._inspect()

    def leave(self) -> None:
        if self.comparison is not None:
            self.comparison.close()
        super().leave()

    def _asked_with(self):
        return [name for name in self.results if not name.startswith(Picked.name)]

    def _where(self):
        """What a bar is the share of."""
        return f"share of a head's attention that lies in {'the mark' if self.roi.value == 'sum' else 'the brightest patch of the mark'}"

    @property
    def _last(self):
        return self.layer.value == self.model.depth - 1

    def _sentences(self):
        """What was chosen and what it does, in words."""
        words = [ASK] if self.canvas.asks is None else []
        if self.heads is not None:
            share = "." if self.on_roi is None else f", with {percent(self.on_roi)} of the attention that all {len(self.heads)} heads give to the mark."
            words.append(markup("Cosine to the plain descriptor <b>{}</b>; {}{}", score(self.cosine), self._kept(), share))
        if not self._last:
            last = self.model.depth - 1
            words.append(f"Block {self.layer.value} is only shown: PHS chooses in the last block, {last}, and its choice stays.")
        return words

    def _kept(self):
        """The heads that stay on, and who chose them."""
        by, numbers = "picked by hand" if self._by_hand is not None else "kept", ", ".join(map(str, np.flatnonzero(self.heads)))
        return f"{int(self.heads.sum())} of {len(self.heads)} heads {by}" + f": no. {numbers}" * bool(numbers)

    def _item(self, head, file):
        on = self._last and self.heads is not None and bool(self.heads[head])
        item = {"key": head, "image": file, "frame": "chosen" if on else "", "badge": f"{head}", "alt": f"head {head}"}
        if self.roi_attention is None:
            return item
        share = float(min(1, self.roi_attention[head]))
        alt = f"head {head}, {self._where()}: {percent(share)}"
        return item | {"caption": percent(share), "alt": alt, "bar": min(1.0, share / self._top), "even": min(1.0, self.even / self._top)}
