"""The checker of jaxtyping's import hook: beartype, on annotations of arrays alone (other wrong values are refused in words)."""

from typing import get_args

from beartype import beartype
from jaxtyping import AbstractArray


def checked(function):
    """``function`` with the shapes and types of its arrays checked at every call."""
    function.__annotations__ = {name: hint for name, hint in function.__annotations__.items() if _has_shape(hint)}
    return beartype(function)


def _has_shape(hint):
    return (isinstance(hint, type) and issubclass(hint, AbstractArray)) or any(map(_has_shape, get_args(hint)))
