"""Is an answer right, and if it isn't, which slip was it?"""

import numbers

import numpy as np

UNANSWERED = "not answered yet"
RIGHT = "right"


def check(answer, right, slips=None, tolerance=1e-3):
    """One line about an ``answer``: "not answered yet" while it is ``...``, "right", or "not yet: " and a hint.

    ``right``: a number, an array or tensor, a text, or a set (order and repetition play no part). ``slips``:
    hint -> the wrong answer that it explains. Numbers agree within ``tolerance`` times the largest number of
    ``right``. Never raises, whatever the answer is: a student's slip meets a sentence, not a traceback.
    """
    if answer is ...:
        return UNANSWERED
    if _same(answer, right, tolerance):
        return RIGHT
    slip = next((hint for hint, wrong in (slips or {}).items() if _same(answer, wrong, tolerance)), None)
    return f"not yet: {slip or _what_is_off(answer, right, tolerance)}"


def _array(value):
    """Numbers as a float array; None for anything else."""
    try:
        value = value.detach().cpu().numpy() if hasattr(value, "detach") else value
        array = np.asarray(value)
        return array.astype(float) if array.dtype.kind in "iuf" else None
    except Exception:  # whatever a student has put there
        return None


def _set(value):
    """The members of a set, list, array or tensor of numbers; None for anything else."""
    array = _array(sorted(value, key=repr) if isinstance(value, (set, frozenset)) else value)
    return None if array is None or array.ndim != 1 else set(array.tolist())


def _same(answer, right, tolerance):
    if isinstance(right, str):
        return isinstance(answer, str) and answer.strip() == right
    if isinstance(right, (set, frozenset)):
        return _set(answer) == _set(right)
    values, wanted = _array(answer), _array(right)
    if values is None or values.shape != wanted.shape:
        return False
    return np.allclose(values, wanted, rtol=0, atol=tolerance * np.abs(wanted).max(initial=0))


def _what_is_off(answer, right, tolerance):
    if isinstance(right, str):
        return "it is another one." if isinstance(answer, str) else "a text in quotes is asked."
    if isinstance(right, (set, frozenset)):
        members = _set(answer)
        if members is None:
            return "numbers are asked, such as {0, 1, 2}."
        return f"{len(members & _set(right))} of your {len(members)} are right, {len(right)} are asked."
    values, wanted = _array(answer), _array(right)
    if values is None:
        return "a number is asked." if isinstance(right, numbers.Real) or not wanted.ndim else "numbers are asked."
    if values.shape != wanted.shape:
        return f"the shape is {values.shape}, {wanted.shape} is asked."
    if not np.isfinite(values).all():
        return "there is a NaN or an infinite number in it."
    if not wanted.ndim:
        return f"{values:.4g} is too {'large' if values > wanted else 'small'}."
    near = np.isclose(values, wanted, rtol=0, atol=tolerance * np.abs(wanted).max(initial=0))
    return f"{near.sum()} of {near.size} numbers are right."
