"""Networks that localisers ask beside the corpus' own: opened once a corpus, and why they can't be."""

from collections.abc import Callable
from typing import TypeVar

from foir_lib.data.getting import download
from foir_lib.errors import FoirError, MissingError

Network = TypeVar("Network")


def opened(corpus, what: tuple, load: Callable[[], Network]) -> Network:
    """The network ``what``, loaded once a corpus. Raises as ``load`` does."""
    return corpus.learned(("network", *what), load)


def problem(corpus, what: tuple, load: Callable[[], object]) -> str:
    """Why a network can't be had, in a sentence's words, or ""; asked once a corpus."""

    def ask():
        try:
            opened(corpus, what, load)
        except FoirError as error:
            return str(error).rstrip(".")
        return ""

    return corpus.learned(("problem", *what), ask)


class Opened:
    """What LoFTR and SAM 2 share, mixed into localisers with a field ``weights``: ``_network(corpus)`` gives what :func:`opened` takes."""

    def lacks(self, corpus) -> str:
        return problem(corpus, *self._network(corpus))

    def offered(self, corpus) -> bool:
        return at_hand(self.weights) and not self.lacks(corpus)

    def inner(self, corpus) -> tuple:
        return *super().inner(corpus), self.network(corpus)

    def network(self, corpus):
        """The network, opened once a corpus."""
        return opened(corpus, *self._network(corpus))


def folder(weights: str | None) -> str:
    """Where weights are: what is given, else the folder ``weights`` of the user's data."""
    return weights or str(download.data_root("weights"))


def place(weights: str | None, what: str, offer: str) -> str:
    """A folder or a name of the hub. Raises MissingError where none is given: nothing is fetched that nobody named."""
    if weights is None:
        raise MissingError(f"{what} has no weights here: give weights={offer}, or a folder with its config.json, preprocessor_config.json and safetensors.")
    return weights


def at_hand(weights: str | None) -> bool:
    """Whether the weights are on this machine, so that a menu may offer what needs them."""
    from foir_lib.models import pretrained  # takes seconds

    return weights is not None and pretrained.stored(weights)
