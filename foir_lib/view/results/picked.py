"""Heads picked by hand, asked with like those that PHS selects."""

from dataclasses import dataclass

import numpy as np

from foir_lib.retrievers.heads import PHS


@dataclass(frozen=True)
class Picked(PHS):
    """PHS with these ``heads``, numbers from 0, whatever the prompt."""

    heads: tuple[int, ...] = ()
    name = "by hand"

    def __str__(self):
        return f"{self.name}: {', '.join(map(str, self.heads))}"

    def _on(self, part):
        on = np.zeros((len(part), part.corpus.model.n_heads), dtype=bool)
        on[:, list(self.heads)] = True
        return on
