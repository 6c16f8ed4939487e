"""What tests of the view share."""

import comm
import pytest


@pytest.fixture
def open_widgets():
    """``open_widgets() -> set``: the ids of all widgets that are open, by their lines to the browser."""
    return lambda: set(comm.get_comm_manager().comms)
