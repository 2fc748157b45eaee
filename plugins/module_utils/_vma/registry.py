# Copyright: (c) 2026, The vmatrix.mesh founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Note that this module util is private to the collection. It can break at any time.
# Do not use it from other collections or your own code.

"""Opening the registry: one transaction at a time, whose check mode is the same work, rolled back."""

from __future__ import annotations

import contextlib
import os
import typing as t

from ansible_collections.vmatrix.mesh.plugins.module_utils._core.errors import InvalidInput, MeshError, NotFound, Refused
from ansible_collections.vmatrix.mesh.plugins.module_utils._vma import schema
from ansible_collections.vmatrix.mesh.plugins.module_utils._vma.libraries import sa

#: The option that every module of the VMA has.
OPTION = {"type": "str", "default": "sqlite:////var/lib/vmatrix/vma/registry.db"}

#: Seconds that a call waits for those before it.
PATIENCE = 30


class Change(t.NamedTuple):
    """What a call did to the registry, or would do: whether it changed, its part before and after, and what the module returns."""

    changed: bool
    before: t.Any
    after: t.Any
    result: dict[str, t.Any]


class Transaction:
    """The registry while nobody else changes it.

    Attributes:
        connection: for statements.
        hn: the registry's own row: name, public_pools, vlan_first, vlan_last, vcpu_overcommit.
        generation: the counter, as it is with the changes so far.
        generation_before: the counter, as it was found.
        raised: whether anything was changed.
    """

    def __init__(self, connection: t.Any, row: dict[str, t.Any]) -> None:
        self.connection = connection
        self.hn = {key: row[key] for key in ("name", "public_pools", "vlan_first", "vlan_last", "vcpu_overcommit")}
        self.generation: int = row["generation"]
        self.generation_before = self.generation
        self.raised = False

    def rows(self, statement: t.Any) -> list[dict[str, t.Any]]:
        """Return what a SELECT finds, as dictionaries."""
        return [dict(row) for row in self.connection.execute(statement).mappings()]

    def change(self, statement: t.Any) -> None:
        """Execute a statement that changes what documents are made from; the first one raises the generation by one."""
        if not self.raised:
            self.raise_generation(self.generation)
        self.connection.execute(statement)

    def note(self, statement: t.Any) -> None:
        """Execute a statement that leaves the generation alone (the journal is part of no document)."""
        self.connection.execute(statement)

    def raise_generation(self, above: int) -> None:
        """Set the generation to the first number above both *above* and what it was."""
        self.generation = max(self.generation, above) + 1
        self.raised = True
        self.connection.execute(sa.update(schema.REGISTRY).values(generation=self.generation))


@contextlib.contextmanager
def transaction(url: str, dry_run: bool = False, create: bool = False) -> t.Iterator[Transaction]:
    """Hold the registry alone; keep the changes when the block ends well, unless *dry_run*.

    Args:
        url: a database URL of SQLAlchemy.
        dry_run: roll everything back at the end.
        create: make the tables if there are none, instead of refusing.

    Raises:
        InvalidInput: *url* is none that can be used.
        NotFound: nobody has set the registry up.
        Refused: others held it for 30 s, or a newer version of the collection made it.
    """
    engine, shown = _engine(url, dry_run, create)
    try:
        with engine.connect() as connection:
            work = connection.begin()
            try:
                yield _opened(connection, shown, create)
            except BaseException:
                work.rollback()
                raise
            if dry_run:
                work.rollback()
            else:
                work.commit()
    except sa.exc.DBAPIError as exc:
        if "locked" in str(exc.orig):
            raise Refused(f"Other calls have held the registry {shown} for {PATIENCE} s; try again when they have ended.") from exc
        raise MeshError(f"The registry {shown} cannot be used: {str(exc.orig).strip()}.") from exc
    finally:
        engine.dispose()


def _engine(url: str, dry_run: bool, create: bool) -> tuple[t.Any, str]:
    try:
        parsed = sa.engine.make_url(url)
        if parsed.password is not None:
            raise InvalidInput("The registry's URL must not hold a password: it belongs into the database's own password file (such as ~/.pgpass).")
        shown = str(parsed)
        if parsed.get_backend_name() != "sqlite":
            return sa.create_engine(parsed, future=True, poolclass=sa.pool.NullPool), shown
    except (sa.exc.ArgumentError, sa.exc.NoSuchModuleError, ImportError) as exc:
        raise InvalidInput("The registry's URL cannot be used on this host: it must look like 'sqlite:////var/lib/vmatrix/vma/registry.db'.") from exc
    path = parsed.database
    if not path or not os.path.isabs(path):
        raise InvalidInput(f"The registry {shown} cannot be shared: its path must be absolute, as in 'sqlite:////var/lib/vmatrix/vma/registry.db'.")
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
    sa.event.listen(engine, "connect", _own_transactions)
    sa.event.listen(engine, "begin", _begin_alone)
    return engine, shown


def _own_transactions(connection: t.Any, _record: t.Any) -> None:
    # The driver would begin a transaction only at the first change: too late, two could have read the same.
    connection.isolation_level = None


def _begin_alone(connection: t.Any) -> None:
    connection.exec_driver_sql("BEGIN IMMEDIATE")


def _opened(connection: t.Any, shown: str, create: bool) -> Transaction:
    if not sa.inspect(connection).has_table("registry"):
        if not create:
            raise _missing(shown)
        schema.METADATA.create_all(connection)
        connection.execute(
            sa.insert(schema.REGISTRY).values(
                id=1, schema_version=schema.VERSION, generation=0, name=None, public_pools=[], vlan_first=100, vlan_last=4000, vcpu_overcommit=8
            )
        )
    row = dict(connection.execute(sa.select(schema.REGISTRY).with_for_update()).mappings().one())
    if row["schema_version"] != schema.VERSION:
        raise Refused(f"The registry {shown} has schema version {row['schema_version']}; this version of the collection knows version {schema.VERSION} only.")
    return Transaction(connection, row)


def _missing(shown: str) -> NotFound:
    return NotFound(f"No hosting network is known here: the registry {shown} has not been set up (vma_hn does that).")
