"""Localisers around another one, which the field ``of`` names: `Tiled(of="Dense(k=3)")`."""

from dataclasses import dataclass
from functools import cached_property

from foir_lib import registry
from foir_lib.errors import InputError
from foir_lib.retrievers.base import Localiser


@dataclass(frozen=True)
class Around(Localiser):
    """``of``: the text of the localiser inside; an object is taken too, and its text kept. Raises InputError for what is neither."""

    of: str = "Dense"

    def __post_init__(self):
        if isinstance(self.of, Localiser):
            object.__setattr__(self, "of", str(self.of))
        super().__post_init__()
        if not isinstance(self.localiser, Localiser):
            raise InputError(f"{self.of!r} is no localiser: name one of `foir methods`.")

    @cached_property
    def localiser(self) -> Localiser:
        """The localiser inside."""
        return registry.parse("localiser", self.of)

    def lacks(self, corpus):
        return super().lacks(corpus) or self.localiser.lacks(corpus)

    def offered(self, corpus):
        return super().offered(corpus) and self.localiser.offered(corpus)

    def inner(self, corpus):
        return (self.localiser, *self.localiser.inner(corpus))
