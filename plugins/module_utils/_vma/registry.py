# Copyright: (c) 2026, The vmatrix.mesh founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Note that this module util is private to the collection. It can break at any time.
# Do not use it from other collections or your own code.

"""Opening the registry: one transaction at a time, whose check mode is the same work, rolled back; any number of readers beside it.

With SQLite the journal's mode stays DELETE. A WAL would let readers and writers pass each other without any wait, but every call here is a process that
closes the database as its last user, so a WAL would be made, synced, copied and deleted with each one; a copy of the one file would no longer be the whole
registry; and turning an existing file's mode fails at once where somebody else has it open. In mode DELETE a reader waits only while a commit is written, and
a commit only for readers that are reading at that moment.

With PostgreSQL whoever changes something holds an advisory lock until its transaction ends. The server queues those who wait in the order in which they came,
and lock_timeout is the deadline of each. To lock the registry's row would not do, because two that make the tables at once have no row yet. Nor would
isolation level SERIALIZABLE: of two that meet it lets one do all its work before it fails, and there is nobody here who could begin anew. What is read after
the lock is there is what the one before has committed, as long as every statement looks for itself (READ COMMITTED), whatever the server's own default is.
"""

from __future__ import annotations

import contextlib
import os
import typing as t

from ansible_collections.vmatrix.mesh.plugins.module_utils._core.errors import InvalidInput, MeshError, NotFound, Refused
from ansible_collections.vmatrix.mesh.plugins.module_utils._vma import schema, witness
from ansible_collections.vmatrix.mesh.plugins.module_utils._vma.libraries import sa

#: The option that every module of the VMA has.
OPTION = {"type": "str", "default": "sqlite:////var/lib/vmatrix/vma/registry.db"}

#: What a URL of PostgreSQL begins with: other drivers are told in other ways what time they have.
POSTGRESQL = ("postgresql", "postgresql+psycopg2", "postgresql+psycopg")

#: The advisory lock of those who change a registry; it is one in each database.
LOCK = int.from_bytes(b"vmatrix", "big")

#: PostgreSQL's code for a lock that was waited for in vain. What it says depends on its language.
LOCK_NOT_AVAILABLE = "55P03"

#: Seconds that a call waits for those before it, and for a server; and that a server waits for a call that changes something and says nothing.
PATIENCE = 30


class Change(t.NamedTuple):
    """What a call did to the registry, or would do: whether it changed, its part before and after, and what the module returns."""

    changed: bool
    before: t.Any
    after: t.Any
    result: dict[str, t.Any]


class Transaction:
    """The registry while nobody else changes it, or as it was when reading it began.

    Attributes:
        connection: for statements.
        hn: the registry's own row: name, public_pools, vlan_first, vlan_last, vcpu_overcommit.
        generation: the counter, as it is with the changes so far.
        generation_before: the counter, as it was found.
        raised: whether anything was changed.
        version: of the tables that are there; when reading it may be an older one.
        neighbours: the records of the domains that were looked at, by domain and instance; records keeps them as they are with the changes so far.
        used: what records take of each RM; None until somebody asks, then the same.
        database: what tells it from others, however it is reached.
        granted: the highest number of a lease that was granted in it; 0 if none was.
    """

    def __init__(self, connection: t.Any, row: dict[str, t.Any], database: str) -> None:
        self.connection = connection
        self.database = database
        self.granted = 0
        self._afterwards: list[t.Callable[[], None]] = []
        self.hn = {key: row[key] for key in ("name", "public_pools", "vlan_first", "vlan_last", "vcpu_overcommit")}
        self.generation: int = row["generation"]
        self.generation_before = self.generation
        self.raised = False
        self.version: int = row["schema_version"]
        self.neighbours: dict[str, dict[str, dict[str, t.Any]]] = {}
        self.used: dict[str, dict[str, int]] | None = None

    def rows(self, statement: t.Any) -> list[dict[str, t.Any]]:
        """Return what a SELECT finds, as dictionaries."""
        return [dict(row) for row in self.connection.execute(statement).mappings()]

    def has(self, table: t.Any) -> bool:
        """Whether a table is there: an older registry that is only read may lack it."""
        return self.version >= schema.SINCE.get(table.name, schema.OLDEST)

    def change(self, statement: t.Any) -> None:
        """Execute a statement that changes what documents are made from; the first one raises the generation by one."""
        if not self.raised:
            self.raise_generation(self.generation)
        self.connection.execute(statement)

    def note(self, statement: t.Any) -> None:
        """Execute a statement that leaves the generation alone (the journal is part of no document)."""
        self.connection.execute(statement)

    def then(self, act: t.Callable[[], None]) -> None:
        """Do something as soon as the changes are on the disk."""
        self._afterwards.append(act)

    def ended(self) -> None:
        """Do what is to be done now that the changes are on the disk."""
        if self.granted:
            witness.bear(self.database, self.granted)
        for act in self._afterwards:
            act()

    def raise_generation(self, above: int) -> None:
        """Set the generation to the first number above both *above* and what it was."""
        self.generation = max(self.generation, above) + 1
        self.raised = True
        self.connection.execute(sa.update(schema.REGISTRY).values(generation=self.generation))


@contextlib.contextmanager
def transaction(url: str, dry_run: bool = False, create: bool = False, mends: bool = False) -> t.Iterator[Transaction]:
    """Hold the registry alone; keep the changes when the block ends well, unless *dry_run*.

    Args:
        url: a database URL of SQLAlchemy.
        dry_run: roll everything back at the end.
        create: make the tables if there are none, instead of refusing.
        mends: whether a registry that was lost or restored from a copy may be changed all the same, as it may with *create*.

    Raises:
        InvalidInput: *url* is none that can be used.
        NotFound: nobody has set the registry up.
        Refused: others held it for 30 s, a newer version of the collection made it, or it knows less than it has granted. What an older version made gets the
            tables that it lacks.
        MeshError: the database cannot be used, or the connection to it was lost; if that was while it committed, nobody knows what became of the changes.
    """
    with _connected(url, dry_run=dry_run, create=create) as (connection, shown):
        work = connection.begin()
        try:
            tx = _opened(connection, _identity(url), shown, create)
            if not create and not mends:
                witness.refuse_older(tx)
            yield tx
        except BaseException:
            work.rollback()
            raise
        if dry_run:
            work.rollback()
        else:
            _commit(work, shown)
            tx.ended()


@contextlib.contextmanager
def reading(url: str) -> t.Iterator[Transaction]:
    """Look at the registry as it is at one moment, while others may change it.

    Raises:
        What transaction() raises.
    """
    with _connected(url, reads=True) as (connection, shown):
        with connection.begin():
            yield _opened(connection, _identity(url), shown, reads=True)


@contextlib.contextmanager
def _connected(url: str, **how: bool) -> t.Iterator[tuple[t.Any, str]]:
    """Connect to the database of a URL, which is yielded as it can be shown, too; say in a sentence what goes wrong with it."""
    engine, shown = _engine(url, **how)
    try:
        with engine.connect() as connection:
            yield connection, shown
    except sa.exc.DBAPIError as exc:
        raise _said(exc, shown) from exc
    finally:
        engine.dispose()


def _commit(work: t.Any, shown: str) -> None:
    try:
        work.commit()
    except sa.exc.DBAPIError as exc:
        if not exc.connection_invalidated:
            raise
        why = f"The connection to the registry {shown} was lost while it was told to keep the changes"
        raise MeshError(f"{why}, so they may have been made or not: look, or run this again ({_reason(exc)}).") from exc


def _said(exc: t.Any, shown: str) -> MeshError:
    """Return what is said when a database fails."""
    code = getattr(exc.orig, "pgcode", None) or getattr(exc.orig, "sqlstate", None)
    if code == LOCK_NOT_AVAILABLE or "database is locked" in str(exc.orig):
        return Refused(f"Other calls have held the registry {shown} for {PATIENCE} s; try again when they have ended.")
    if exc.connection_invalidated:
        return MeshError(f"The connection to the registry {shown} was lost, so nothing was changed ({_reason(exc)}).")
    return MeshError(f"The registry {shown} cannot be used: {_reason(exc)}.")


def _reason(exc: t.Any) -> str:
    """Return a database's own words, without the advice that follows on further lines."""
    return " ".join((str(exc.orig).strip().splitlines() or [type(exc.orig).__name__])[0].split()).rstrip(".")


def _engine(url: str, dry_run: bool = False, create: bool = False, reads: bool = False) -> tuple[t.Any, str]:
    wrong = "it must look like 'sqlite:////var/lib/vmatrix/vma/registry.db' or 'postgresql+psycopg2://vma@db.example.com/vma'"
    try:
        parsed = sa.engine.make_url(url)
    except (sa.exc.ArgumentError, ValueError):
        # What could not be parsed may hold a password, and is part of the exception.
        raise InvalidInput(f"The registry's URL cannot be used: {wrong}.") from None
    in_postgresql = parsed.drivername in POSTGRESQL
    # A password with a slash in it ends up in the name of the database, with what comes after it.
    if parsed.password is not None or any("password" in key for key in parsed.query) or (in_postgresql and "@" in (parsed.database or "")):
        raise InvalidInput("The registry's URL must not hold a password: it belongs into the database's own password file (such as ~/.pgpass).")
    shown = str(parsed.set(query={}))
    if in_postgresql:
        return _postgresql(parsed, shown, reads), shown
    if parsed.drivername not in ("sqlite", "sqlite+pysqlite"):
        raise InvalidInput(f"The registry's URL cannot be used: {wrong}.")
    return _sqlite(parsed, shown, dry_run, create, reads), shown


def _identity(url: str) -> str:
    """Return what tells a database from others, whichever driver and user reach it."""
    parsed = sa.engine.make_url(url)
    where = [parsed.host or parsed.query.get("host"), parsed.port or parsed.query.get("port"), parsed.database]
    return " ".join(str(part) for part in (parsed.get_backend_name(), *where))


def _postgresql(parsed: t.Any, shown: str, reads: bool) -> t.Any:
    # Several SELECTs see one moment only with REPEATABLE READ.
    isolation = "REPEATABLE READ" if reads else "READ COMMITTED"
    # A server that vanishes is noticed even while nothing is sent.
    waits = {"connect_timeout": PATIENCE, "keepalives_idle": PATIENCE, "keepalives_interval": PATIENCE, "tcp_user_timeout": 1000 * PATIENCE}
    try:
        engine = sa.create_engine(parsed, future=True, poolclass=sa.pool.NullPool, isolation_level=isolation, connect_args=waits)
    except (sa.exc.NoSuchModuleError, ImportError) as exc:
        raise MeshError(f"The registry {shown} cannot be reached from this host: its driver is missing (Debian's python3-psycopg2).") from exc
    sa.event.listen(engine, "begin", _limit if reads else _queue)
    return engine


def _sqlite(parsed: t.Any, shown: str, dry_run: bool, create: bool, reads: bool) -> t.Any:
    path = parsed.database
    if not path or not os.path.isabs(path):
        raise InvalidInput(f"The registry {shown} cannot be shared: its path must be absolute, as in 'sqlite:////var/lib/vmatrix/vma/registry.db'.")
    if _hidden(path):
        raise Refused(f"The registry {shown} cannot be read with the rights of user {os.geteuid()}: run this as root (become).")
    if not os.path.exists(path):
        if not create:
            raise _missing(shown)
        if not os.path.isdir(os.path.dirname(path)):
            raise NotFound(f"The registry cannot be made: the directory {os.path.dirname(path)} does not exist.")
        if dry_run:
            parsed = sa.engine.make_url("sqlite://")  # in memory: predicts without leaving a file behind
        else:
            os.close(os.open(path, os.O_WRONLY | os.O_CREAT, 0o600))
    engine = sa.create_engine(parsed, future=True, poolclass=sa.pool.NullPool, connect_args={"timeout": PATIENCE})
    sa.event.listen(engine, "connect", _prepare)
    sa.event.listen(engine, "begin", _begin if reads else _begin_alone)
    return engine


def _prepare(connection: t.Any, _record: t.Any) -> None:
    # The driver would begin a transaction only at the first change: too late, two could have read the same.
    connection.isolation_level = None
    # These do nothing inside a transaction. In mode DELETE a commit is the journal's end, and only EXTRA has that on the disk before it returns.
    connection.execute("PRAGMA synchronous = EXTRA")
    connection.execute("PRAGMA foreign_keys = ON")


def _begin_alone(connection: t.Any) -> None:
    connection.exec_driver_sql("BEGIN IMMEDIATE")


def _begin(connection: t.Any) -> None:
    connection.exec_driver_sql("BEGIN")


def _limit(connection: t.Any) -> None:
    # The driver has begun. The server ends a transaction that nobody goes on with, such as when the host of who began it has lost its power.
    limits = ("lock_timeout", "idle_in_transaction_session_timeout")
    connection.execute(sa.select(*(sa.func.set_config(limit, f"{PATIENCE}s", True) for limit in limits)))


def _queue(connection: t.Any) -> None:
    _limit(connection)
    # What is committed outlasts a power cut, whatever the server's own default is.
    connection.execute(sa.select(sa.func.set_config("synchronous_commit", "on", True), sa.func.pg_advisory_xact_lock(LOCK)))


def _opened(connection: t.Any, database: str, shown: str, create: bool = False, reads: bool = False) -> Transaction:
    if not sa.inspect(connection).has_table("registry"):
        if not create:
            raise _missing(shown)
        schema.METADATA.create_all(connection)
        connection.execute(
            sa.insert(schema.REGISTRY).values(
                id=1, schema_version=schema.VERSION, generation=0, name=None, public_pools=[], vlan_first=100, vlan_last=4000, vcpu_overcommit=8
            )
        )
    row = dict(connection.execute(sa.select(schema.REGISTRY)).mappings().one())
    if not schema.OLDEST <= row["schema_version"] <= schema.VERSION:
        known = f"versions {schema.OLDEST} to {schema.VERSION}"
        raise Refused(f"The registry {shown} has schema version {row['schema_version']}; this version of the collection knows {known} only.")
    if row["schema_version"] != schema.VERSION and not reads:
        # Who only looks leaves it as it is.
        schema.METADATA.create_all(connection)
        connection.execute(sa.update(schema.REGISTRY).values(schema_version=schema.VERSION))
        row["schema_version"] = schema.VERSION
    if create:
        # One that was made before there were these is searched faster from now on.
        for index in (index for table in schema.METADATA.tables.values() for index in table.indexes):
            index.create(connection, checkfirst=True)
    return Transaction(connection, row, database)


def _hidden(path: str) -> bool:
    """Say whether a file cannot be seen or read with the rights at hand; that it is not there is something else."""
    try:
        os.stat(path)
    except PermissionError:
        return True
    except FileNotFoundError:
        return False
    return not os.access(path, os.R_OK | os.W_OK, effective_ids=True)


def _missing(shown: str) -> NotFound:
    return NotFound(f"No hosting network is known here: the registry {shown} has not been set up (vma_hn does that).")
