"""Whose boxes and masks a method takes: their names, and why they can't be had on a corpus."""

from foir_lib.errors import FoirError
from foir_lib.retrievers.decomposed.crops import BOXES, OWN
from foir_lib.retrievers.decomposed.decomposing import ANNOTATED, TOKENS, check_name, detector_of, segmenter_of


def check_detector(name: str) -> None:
    """Raises InputError for ``objects`` that nothing detects."""
    check_name("objects", name, "detector", (ANNOTATED, TOKENS))


def check_segmenter(name: str) -> None:
    """Raises InputError for ``masks`` that nothing makes."""
    check_name("masks", name, "segmenter", (OWN, BOXES))


def lacking(corpus, objects: str, masks: str = OWN) -> str:
    """Why a decomposition or masks can't be had, in a sentence's words, or ""."""
    if objects == ANNOTATED and not corpus.set.objects["image_id"].isin(corpus.set.database["image_id"]).any():
        return f"{corpus.set.name} has no annotated boxes"
    try:
        check_detector(objects), check_segmenter(masks)
    except FoirError as error:
        return str(error).rstrip(".")
    needed = [(detector_of, objects)] * (objects not in (ANNOTATED, TOKENS)) + [(segmenter_of, masks)] * (masks not in (OWN, BOXES))
    return next(filter(None, (_problem(corpus, *one) for one in needed)), "")


def no_groups(corpus) -> str:
    """Why groups of patch tokens can't be had on a corpus, in a sentence's words, or ""."""
    if not getattr(corpus.model, "pooled", False):
        return ""
    return f"{corpus.model.name} reads its patch tokens through a pooler, so groups of them have no vectors: name a network with a CLS token, or other objects"


def at_hand(corpus, objects: str, masks: str = OWN) -> bool:
    """Whether a decomposition and masks can be had at once, without anything from a hub: what a menu offers."""
    from foir_lib.models.segmenters import GRID, stored  # not above: it takes seconds, and most methods need none

    return all(stored(name.removesuffix(GRID)) for name in (objects, masks)) and not lacking(corpus, objects, masks)


def _problem(corpus, opener, name):
    """Why a detector or segmenter can't be had, or ""; asked once a corpus, since a hub that can't be reached takes half a minute."""

    def ask():
        try:
            opener(corpus, name)
        except FoirError as error:
            return str(error).rstrip(".")
        return ""

    return corpus.learned(("problem", opener, name), ask)
