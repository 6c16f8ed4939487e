"""All tables of all papers by their ids."""

from foir_lib.bench.tables import coattention, heads, memory, objects, pixels, regions
from foir_lib.bench.tables.columns import Table
from foir_lib.errors import unknown

EVERY: dict[str, Table] = heads.TABLES | coattention.TABLES | regions.TABLES | objects.TABLES | pixels.TABLES | memory.TABLES


def find(table: str) -> Table:
    """The :class:`Table` of that id. Raises InputError for an unknown one."""
    if table not in EVERY:
        raise unknown("table", table, EVERY)
    return EVERY[table]


def title(table: str) -> str:
    """The table's own title, or its id where it has none."""
    return EVERY[table].title if table in EVERY else table
