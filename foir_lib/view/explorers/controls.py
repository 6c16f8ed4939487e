"""The controls of the retrieval explorer: made, laid out, filled and set; what they do is the explorer's."""

import ipywidgets
from ipywidgets import Layout

from foir_lib.data.checks import CORNERS
from foir_lib.methods.head_selection import ROI_STRATEGIES
from foir_lib.prompts import Box

K = (5, 10, 20)
NO_LABEL, NO_OBJECT = "(no label)", "(choose one)"
WIDE = {"style": {"description_width": "initial"}, "layout": {"width": "auto"}}


class Controls:
    """Widgets by what they mean: steps (previous, random, next), place, objects, label, methods, h_on, k, roi."""

    def __init__(self, methods, chosen, k, h_on, n_heads, retrieval_set):
        self._set, self._mask = retrieval_set, None
        self.steps = [
            ipywidgets.Button(description=name, tooltip=f"{name} query picture", layout=Layout(width="auto"))
            for name in ("Previous", "Random", "Next")
        ]
        self.place = ipywidgets.Label()
        self.objects = ipywidgets.Dropdown(description="annotated objects", options=[(NO_OBJECT, "")], **WIDE)
        protocol = retrieval_set.protocols.get("contains")
        labels = sorted(protocol.positive, key=str) if protocol else []
        self.label = ipywidgets.Dropdown(
            description="looking for", options=[(NO_LABEL, ""), *((str(label), label) for label in labels)],
            tooltip="What counts as right; chosen by itself from what you point at", **WIDE,
        )  # fmt: skip
        self.methods = {
            name: ipywidgets.ToggleButton(name in chosen, description=name, layout=Layout(width="auto"))
            for name in methods
        }
        self.h_on = ipywidgets.IntSlider(
            h_on, 1, n_heads, description="heads kept (h_on)", continuous_update=False, **WIDE,
            tooltip="How many attention heads PHS keeps: those that look most at what you point at",
        )  # fmt: skip
        self.k = ipywidgets.Dropdown(description="results (k)", options=sorted({*K, int(k)}), value=int(k), **WIDE)
        self.roi = ipywidgets.Dropdown(
            description="ROI attention",
            options=ROI_STRATEGIES,
            tooltip="How a head's attention inside the prompt is added up",
            **WIDE,
        )
        self.legend = ipywidgets.HTML()
        for control, shown in ((self.label, labels), (self.objects, len(retrieval_set.objects))):
            control.layout.display = None if shown else "none"

    def layout(self, canvas, gallery):
        """Query and controls on the left, results on the right; below about 900 px under each other."""
        more = ipywidgets.Accordion([ipywidgets.VBox([self.k, self.roi])], titles=["more"], selected_index=None)
        compare = ipywidgets.HBox(
            [ipywidgets.Label("compare"), *self.methods.values()], layout=Layout(flex_flow="row wrap")
        )
        steps = ipywidgets.HBox([*self.steps, self.place], layout=Layout(flex_flow="row wrap"))
        asked = ipywidgets.VBox([steps, canvas], layout=Layout(flex="1 1 320px", min_width="0", max_width="480px"))
        controls = ipywidgets.VBox(
            [self.objects, self.label, compare, self.h_on, more], layout=Layout(flex="1 1 270px", min_width="0")
        )
        left = ipywidgets.HBox(
            [asked, controls],
            layout=Layout(flex="1 1 424px", min_width="0", flex_flow="row wrap", grid_gap="0 16px"),
        )
        right = ipywidgets.VBox([self.legend, gallery], layout=Layout(flex="1000 1 460px", min_width="0"))
        return ipywidgets.HBox(
            [left, right], layout=Layout(flex_flow="row wrap", align_items="flex-start", grid_gap="12px 20px")
        )

    def describe(self, rows, place, prompt):
        """Another picture or prompt: its annotated objects (rows of ``objects``), its place among the queries."""
        self.place.value = place
        counts, options = {}, [(NO_OBJECT, "")]
        for row in rows:
            item = self._set.objects.iloc[row]
            counts[item["label"]] = n = counts.get(item["label"], 0) + 1
            name = item["label"] if n == 1 else f"{item['label']} {n}"
            options.append((f"{name} (box)", (int(row), "box")))
            if isinstance(item["segmentation"], (list, tuple, dict)) and item["segmentation"]:
                options.append((f"{name} (mask)", (int(row), "mask")))
        options, value = tuple(options), self._value(rows, prompt)
        if self.objects.options != options:
            self.objects.options = options
        self.objects.value = value if value in dict(options).values() else ""

    def prompt(self, value):
        """The prompt and the label of an entry of ``objects``. Raises InputError for a broken segmentation."""
        row, kind = value
        item = self._set.objects.iloc[row]
        if kind == "box":
            return Box(*item[CORNERS]), item["label"]
        self._mask = (value, self._set.mask(row))
        return self._mask[1], item["label"]

    def settle(self, methods, label):
        """What is shown now: methods in order, and the label (unknown ones are no label)."""
        for name, button in self.methods.items():
            button.value, button.icon = name in methods, "check" if name in methods else ""
        self.label.value = label if label in dict(self.label.options).values() else ""
        told = ["<b>✓</b> right, <b>✗</b> wrong"] if self.label.value else []
        told += [f"<b>▲▼</b> places gained or lost against {methods[0]}"] if len(methods) > 1 else []
        self.legend.value = "; ".join([*told, "click a picture to ask with it"]) + "."

    def _value(self, rows, prompt):
        if prompt is not None and self._mask is not None and prompt is self._mask[1]:
            return self._mask[0]
        if isinstance(prompt, Box):
            for row in rows:
                if (prompt.x0, prompt.y0, prompt.x1, prompt.y1) == tuple(self._set.objects[CORNERS].iloc[row]):
                    return int(row), "box"
        return ""
