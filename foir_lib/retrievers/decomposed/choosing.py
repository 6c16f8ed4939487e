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
        if objects not in (ANNOTATED, TOKENS):
            detector_of(corpus, objects)
        if masks not in (OWN, BOXES):
            segmenter_of(corpus, masks)
    except FoirError as error:
        return str(error).rstrip(".")
    return ""
