# Copyright: (c) 2026, The vmatrix.mesh founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Note that this module util is private to the collection. It can break at any time.
# Do not use it from other collections or your own code.

"""The tables of the registry."""

from __future__ import annotations

import typing as t

from ansible_collections.vmatrix.mesh.plugins.module_utils._vma.libraries import sa

VERSION = 7
#: The first version that this one is made of by adding tables.
OLDEST = 4
#: Tables that are not there from the first version on, and with which one they came.
SINCE = {"capsules": 5, "holders": 5, "listings": 5, "leases": 6, "runs": 6, "lost": 7}


def _text(length: int) -> t.Any:
    """Return the type of text that is sorted as Python and SQLite sort it, and not as a language does."""
    return sa.String(length).with_variant(sa.String(length, collation="C"), "postgresql")


if sa is not None:
    METADATA = sa.MetaData()

    #: One row.
    REGISTRY = sa.Table(
        "registry",
        METADATA,
        sa.Column("id", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("schema_version", sa.Integer, nullable=False),
        sa.Column("generation", sa.BigInteger, nullable=False),
        sa.Column("name", _text(63)),
        sa.Column("public_pools", sa.JSON, nullable=False),
        sa.Column("vlan_first", sa.Integer, nullable=False),
        sa.Column("vlan_last", sa.Integer, nullable=False),
        sa.Column("vcpu_overcommit", sa.Integer, nullable=False),
    )

    RMS = sa.Table(
        "rms",
        METADATA,
        sa.Column("name", _text(63), primary_key=True),
        sa.Column("address", _text(253), nullable=False),
        sa.Column("memory_mib", sa.BigInteger, nullable=False),
        sa.Column("vcpus", sa.Integer, nullable=False),
        sa.Column("disk_bytes", sa.BigInteger, nullable=False),
        sa.Column("machine_types", sa.JSON, nullable=False),
        sa.Column("cpus", sa.JSON, nullable=False),
        sa.Column("accelerator", _text(16), nullable=False),
        sa.Column("in_service", sa.Boolean, nullable=False),
    )

    #: Which RMs have told all capsules that they hold; what the others hold is known in part at most.
    LISTINGS = sa.Table(
        "listings",
        METADATA,
        sa.Column("rm", sa.ForeignKey("rms.name"), primary_key=True),
    )

    CAPSULES = sa.Table(
        "capsules",
        METADATA,
        sa.Column("domain", _text(253), primary_key=True),
        sa.Column("name", _text(63), primary_key=True),
        sa.Column("version", _text(64), primary_key=True),
        sa.Column("manifest", sa.JSON, nullable=False),
    )

    #: Which RM holds which of them, as far as it was told; the RM itself knows better.
    HOLDERS = sa.Table(
        "holders",
        METADATA,
        sa.Column("rm", sa.ForeignKey("rms.name"), primary_key=True),
        sa.Column("domain", _text(253), primary_key=True),
        sa.Column("name", _text(63), primary_key=True),
        sa.Column("version", _text(64), primary_key=True),
        sa.ForeignKeyConstraint(["domain", "name", "version"], ["capsules.domain", "capsules.name", "capsules.version"]),
    )

    #: The surroundings records.
    RECORDS = sa.Table(
        "records",
        METADATA,
        sa.Column("instance", _text(253), primary_key=True),
        sa.Column("service", _text(63), nullable=False),
        sa.Column("domain", _text(253), nullable=False),
        sa.Column("capsule", _text(64), nullable=False),
        sa.Column("rm", sa.ForeignKey("rms.name"), nullable=False),
        sa.Column("moves_to", sa.ForeignKey("rms.name")),
        sa.Column("epoch", sa.BigInteger, nullable=False),
        sa.Column("state", _text(16), nullable=False),
        sa.Column("in_rotation", sa.Boolean, nullable=False),
        sa.Column("guest", sa.JSON, nullable=False),
        sa.Column("fabric_address", _text(45), nullable=False),
        sa.Column("intranet_address", _text(45)),
        sa.Column("vlan", sa.Integer, nullable=False),
        sa.Column("public_address", _text(45), nullable=False),
        sa.Column("forward_to", _text(45)),
        sa.Column("ports", sa.JSON, nullable=False),
        sa.Column("balance", sa.JSON, nullable=False),
        sa.Column("requirements", sa.JSON, nullable=False),
        sa.UniqueConstraint("domain", "fabric_address"),
    )

    #: A row outlives its use: "released" is the generation at which it ended (null: in use), so that what rested longest is given out first.
    VLANS = sa.Table(
        "vlans",
        METADATA,
        sa.Column("vlan", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("domain", _text(253), nullable=False, index=True),
        sa.Column("released", sa.BigInteger),
    )

    PUBLIC_ADDRESSES = sa.Table(
        "public_addresses",
        METADATA,
        sa.Column("address", _text(45), primary_key=True),
        sa.Column("domain", _text(253), nullable=False),
        sa.Column("service", _text(63), nullable=False),
        sa.Column("released", sa.BigInteger),
        sa.Index("ix_public_addresses_domain_service", "domain", "service"),
    )

    #: The highest epoch ever granted or seen for an instance; outlives its record.
    EPOCHS = sa.Table(
        "epochs",
        METADATA,
        sa.Column("instance", _text(253), primary_key=True),
        sa.Column("epoch", sa.BigInteger, nullable=False),
    )

    #: Which operation may change an instance now. A row outlives its use, for its number and the run that was the "last"; "run" is null then. "until" are
    #: seconds since 1970.
    LEASES = sa.Table(
        "leases",
        METADATA,
        sa.Column("instance", _text(253), primary_key=True),
        sa.Column("number", sa.BigInteger, nullable=False, index=True),
        # Of a run that takes up another one it is the ids of both, with a dot between.
        sa.Column("run", _text(65), index=True),
        sa.Column("last", _text(64)),
        sa.Column("holder", sa.JSON, nullable=False),
        sa.Column("until", sa.Float, nullable=False),
    )

    #: The runs of operations; the plan is there until the run has ended.
    RUNS = sa.Table(
        "runs",
        METADATA,
        sa.Column("run", _text(64), primary_key=True),
        sa.Column("operation", _text(16), nullable=False),
        sa.Column("subject", sa.Text, nullable=False),
        sa.Column("who", _text(253), nullable=False),
        sa.Column("instances", sa.JSON, nullable=False),
        sa.Column("began", _text(32), nullable=False, index=True),
        sa.Column("ended", _text(32), index=True),
        sa.Column("outcome", _text(16)),
        sa.Column("steps", sa.JSON, nullable=False),
        sa.Column("plan", sa.Text),
    )

    #: The HNs that were given up as lost.
    LOST = sa.Table(
        "lost",
        METADATA,
        sa.Column("hn", _text(63), primary_key=True),
        sa.Column("who", _text(253), nullable=False),
        sa.Column("since", _text(32), nullable=False),
    )

    #: The journal.
    OPERATIONS = sa.Table(
        "operations",
        METADATA,
        sa.Column("id", sa.Integer, primary_key=True),
        sa.Column("instance", _text(253), nullable=False, index=True),
        sa.Column("kind", _text(16), nullable=False),
        sa.Column("opened", _text(32), nullable=False),
        sa.Column("closed", _text(32), index=True),
        sa.Column("steps", sa.JSON, nullable=False),
    )


def only(statement: t.Any, table: t.Any, instance: str | None, domain: str | None) -> t.Any:
    """Return a SELECT from *table* for an instance's or (checked) domain's rows only, where one is given."""
    if instance is not None:
        return statement.where(table.c.instance == instance)
    if domain is not None:
        # A domain's names have one label before it; those of the domains below it have more.
        return statement.where(table.c.instance.like(f"%.{domain}"), table.c.instance.not_like(f"%.%.{domain}"))
    return statement
