"""Exercises of notebooks/teaching: what a check says of an answer, and what is right, kept out of the page that a student reads."""

from foir_lib.view.exercises.checking import RIGHT, UNANSWERED, check

__all__ = ["RIGHT", "UNANSWERED", "check"]
