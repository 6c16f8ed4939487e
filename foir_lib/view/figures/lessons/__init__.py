"""Drawings that only lessons need: how a network is built, and what a step of a method does to a small example."""

from foir_lib.view.figures.lessons.network import vision_transformer
from foir_lib.view.figures.lessons.retrieval import graph, region_grid, tradeoff, turned

__all__ = ["graph", "region_grid", "tradeoff", "turned", "vision_transformer"]
