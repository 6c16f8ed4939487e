"""The tables, and opening them: one SQLite file, or PostgreSQL by URL; schema version and migrations."""

import json
import os
import random
import sqlite3
import time
from contextlib import contextmanager
from functools import partial

import sqlalchemy as sa

from foir_lib.errors import FoirError, InputError, IntegrityError
from foir_lib.files import DISK, as_path

VERSION = 1
JSON = partial(json.dumps, ensure_ascii=False, allow_nan=False)
WAIT = 5  # seconds that a writer waits for others
SERIAL = 7_064_914  # the lock of PostgreSQL that lets one write at a time

metadata = sa.MetaData()
meta = sa.Table("meta", metadata, sa.Column("key", sa.Text, primary_key=True), sa.Column("value", sa.Text, nullable=False))
events = sa.Table(
    "events", metadata,
    sa.Column("seq", sa.Integer, primary_key=True, autoincrement=False),
    sa.Column("id", sa.Text, nullable=False, unique=True),
    sa.Column("at", sa.Text, nullable=False),
    sa.Column("who", sa.Text, sa.CheckConstraint("who IN ('human', 'machine')"), nullable=False),
    sa.Column("kind", sa.Text, nullable=False),
    sa.Column("target", sa.Text),  # the event that this one undoes or redoes
    sa.Column("body", sa.JSON, nullable=False),
)  # fmt: skip
undone = sa.Table(
    "undone", metadata,
    sa.Column("event", sa.ForeignKey(events.c.id), primary_key=True),
    sa.Column("by", sa.Integer, nullable=False),  # seq of the event that undid it
)  # fmt: skip
things = sa.Table(
    "things", metadata,
    sa.Column("id", sa.Text, primary_key=True),
    sa.Column("name", sa.Text, nullable=False),
    sa.Column("who", sa.Text, nullable=False),
    sa.Column("at", sa.Text, nullable=False),
    sa.Column("aliases", sa.JSON, nullable=False),
    sa.Column("properties", sa.JSON, nullable=False),
    sa.Column("into", sa.Text),
    sa.Column("gone", sa.Boolean, nullable=False),
)  # fmt: skip
crops = sa.Table("crops", metadata, sa.Column("view", sa.Text, primary_key=True), sa.Column("png", sa.LargeBinary, nullable=False))
views = sa.Table(
    "views", metadata,
    sa.Column("id", sa.ForeignKey(crops.c.view), primary_key=True),
    sa.Column("thing", sa.ForeignKey(things.c.id, deferrable=True, initially="DEFERRED"), nullable=False),
    sa.Column("picture", sa.Text, nullable=False),
    sa.Column("path", sa.Text),
    sa.Column("width", sa.Integer, nullable=False),
    sa.Column("height", sa.Integer, nullable=False),
    *(sa.Column(name, sa.Float) for name in ("x0", "y0", "x1", "y1")),  # none of a whole picture
    sa.Column("mask", sa.JSON(none_as_null=True)),
    sa.Column("who", sa.Text, nullable=False),
    sa.Column("at", sa.Text, nullable=False),
    sa.Column("sure", sa.Float, nullable=False),
    sa.Column("gone", sa.Boolean, nullable=False),
)  # fmt: skip
encoders = sa.Table(
    "encoders", metadata, sa.Column("id", sa.Integer, primary_key=True), sa.Column("key", sa.Text, nullable=False, unique=True),
    sa.Column("name", sa.Text, nullable=False),
)  # fmt: skip
embeddings = sa.Table(
    "embeddings", metadata,
    sa.Column("view", sa.ForeignKey(crops.c.view), primary_key=True),  # first, so that all of an encoder are read in the order of writing
    sa.Column("encoder", sa.ForeignKey(encoders.c.id), primary_key=True),
    sa.Column("vector", sa.LargeBinary, nullable=False),  # float16, little end first
)  # fmt: skip
purged = sa.Table("purged", metadata, sa.Column("id", sa.Text, primary_key=True))  # things and views that no import brings back


def _to_1(connection):
    """Sides of pictures and boxes are numbers of their own from now on; the state's tables are made again from the events."""
    connection.execute(sa.schema.DropTable(views, if_exists=True))
    set_setting(connection, "folded", -1)


MIGRATIONS = {0: _to_1}  # version: what makes it the next one, of a connection


def engine(address: str | os.PathLike) -> sa.Engine:
    """An engine for a file's path or a URL of PostgreSQL, its tables made or brought to today's version.

    Raises InputError for what can't be opened or is newer than this program, IntegrityError for a damaged file.
    """
    if "://" in os.fspath(address):
        made, name = _server(os.fspath(address))
    else:
        path = as_path(address)
        if path.is_dir():
            raise InputError(f"{path} is a folder: name a file for the memory, such as {path / 'things.db'}.")
        name = str(path)
        if not path.parent.is_dir():
            raise InputError(f"There is no folder {path.parent} for the memory {path.name}: make it first.")
        url = sa.URL.create("sqlite", database=str(path.absolute()))
        made = sa.create_engine(url, connect_args={"timeout": WAIT, "check_same_thread": False}, json_serializer=JSON)
        sa.event.listen(made, "connect", _pragmas)
        sa.event.listen(made, "begin", _begin)
    with told(name):
        _prepare(made, name)
    return made


@contextmanager
def told(name: str):
    """What a database raises inside, as one sentence about the memory called ``name``."""
    try:
        yield
    except FoirError:
        raise
    except sa.exc.DBAPIError as error:
        says = " ".join(str(error.orig).split())
        if any(words in says for words in ("malformed", "not a database", "unsupported file format", "decode", "constraint failed")):
            raise damaged(name, says) from error
        if "locked" in says or "busy" in says:
            raise InputError(f"The memory {name} is being written by another program for more than {WAIT} s: try again.") from error
        if any(words in says for words in ("disk is full", "disk I/O", "readonly", "unable to open", "No space left")):
            raise InputError(f"The memory {name} can't be written ({says}): {DISK}. What was confirmed before is kept.") from error
        raise InputError(f"The memory {name} can't be used ({says}): check the address and the rights.") from error
    except (json.JSONDecodeError, UnicodeDecodeError, sa.exc.NoSuchTableError) as error:
        raise damaged(name, str(error)) from error


def damaged(name: str, says: str) -> IntegrityError:
    """What to say of a memory whose bytes aren't what was written."""
    return IntegrityError(f"The memory {name} is damaged ({says}): restore a copy, or import its last export into a new file.")


@contextmanager
def writing(made: sa.Engine):
    """A transaction that may write: no other writes meanwhile."""
    with made.connect() as connection:
        connection = connection.execution_options(foir_writes=True)
        with connection.begin():
            if made.dialect.name == "postgresql":
                connection.execute(sa.select(sa.func.pg_advisory_xact_lock(SERIAL)))
            yield connection


def setting(connection: sa.Connection, key: str) -> str | None:
    """A value of ``meta``."""
    return connection.scalar(sa.select(meta.c.value).where(meta.c.key == key))


def set_setting(connection: sa.Connection, key: str, value: object) -> None:
    """Writes a value of ``meta``."""
    if not connection.execute(sa.update(meta).where(meta.c.key == key).values(value=str(value))).rowcount:
        connection.execute(sa.insert(meta).values(key=key, value=str(value)))


def _server(address):
    try:
        url = sa.make_url(address)
    except (sa.exc.ArgumentError, ValueError) as error:
        raise InputError(f"The memory's address can't be read: give a file, or {EXAMPLE}.") from error
    if url.get_backend_name() != "postgresql":
        raise InputError(f"A memory can't be kept on {url.get_backend_name()!r}: give a file, or {EXAMPLE}.")
    name = url.render_as_string(hide_password=True)
    try:
        made = sa.create_engine(url.set(drivername="postgresql+psycopg"), connect_args={"connect_timeout": WAIT}, json_serializer=JSON)
        return made, name
    except ImportError as error:
        raise InputError("PostgreSQL needs psycopg: pip install 'psycopg[binary]'.") from error


EXAMPLE = '"postgresql+psycopg://user@server/database"'


def _pragmas(connection, _):
    connection.isolation_level = None  # transactions begin where SQLAlchemy says so, reads included
    for pragma in ("journal_mode = WAL", "synchronous = FULL", "foreign_keys = ON", "secure_delete = ON"):
        connection.execute(f"PRAGMA {pragma}")


def _begin(connection):
    """Begins a transaction; one that writes asks for its turn every few milliseconds: SQLite's own waits grow and let others pass."""
    if not connection.get_execution_options().get("foir_writes"):
        return connection.exec_driver_sql("BEGIN")
    raw, end = connection.connection.driver_connection, time.monotonic() + WAIT
    raw.execute("PRAGMA busy_timeout = 0")
    while True:
        try:
            raw.execute("BEGIN IMMEDIATE")
            break
        except sqlite3.OperationalError as error:
            if "locked" not in str(error) or time.monotonic() > end:
                raise sa.exc.OperationalError("BEGIN IMMEDIATE", None, error) from error
            time.sleep(random.uniform(0.001, 0.004))
    raw.execute(f"PRAGMA busy_timeout = {int(WAIT * 1000)}")


def _prepare(made, name):
    with made.connect() as connection:
        there = set(sa.inspect(connection).get_table_names())
        version = setting(connection, "version") if "meta" in there else None
    if version == str(VERSION):
        return
    if version is None and there and made.dialect.name == "sqlite":
        raise InputError(f"{name} is another program's database: name a new file for the memory.")
    if version is not None and not (version.isdigit() and int(version) < VERSION):
        raise InputError(f"The memory {name} was written by a newer version ({version}, this one knows {VERSION}): update foir_lib.")
    with writing(made) as connection:
        there = set(sa.inspect(connection).get_table_names())
        version = int(setting(connection, "version")) if "meta" in there else None  # another process may have been first
        for step in range(VERSION if version is None else version, VERSION):
            MIGRATIONS[step](connection)
        metadata.create_all(connection)
        set_setting(connection, "version", VERSION)
