"""A conversation with a memory that needs no network."""

import pytest
from small_memory import Colours, Nearest

from foir_lib import Memory
from foir_lib.memory.conversation import Conversation


@pytest.fixture
def memory(tmp_path):
    return Memory(tmp_path / "things.db", Colours())


@pytest.fixture
def talk(memory):
    return Conversation(memory, Nearest(memory))
