# Copyright: (c) 2026, The vmatrix.mesh founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""How much of the registry a call reads, and what a transaction knows of records while it changes them."""

from __future__ import annotations

import pytest
from postgresql import BOTH
from ansible_collections.vmatrix.mesh.plugins.module_utils._vma import instances, overview, records, registry, reservations, schema, several
from ansible_collections.vmatrix.mesh.plugins.module_utils._vma.libraries import sa

SHOP = "shop-1.example.com"


def wishes(ask, names, domain="example.com"):
    reservation = {key: value for key, value in ask().items() if key != "instance"}
    return [{"instance": f"{name}.{domain}", "reservation": reservation} for name in names]


def crowd(url, ask, numbers):
    """Reserve two instances in each of some domains, with a past."""
    for number in numbers:
        several.update_all(url, wishes(ask, ["shop-1", "mail-1"], f"crowd{number}.com"))
        reservations.undo(url, f"mail-1.crowd{number}.com")
        reservations.reserve(url, ask(f"mail-1.crowd{number}.com"))


@pytest.fixture(name="read")
def _read(monkeypatch):
    """The records, operations, addresses, VLANs and epochs that were read since it was emptied."""
    seen = []
    rows = registry.Transaction.rows

    def counted(tx, statement):
        found = rows(tx, statement)
        seen.extend(row for row in found if {"guest", "steps", "released", "epoch"} & set(row))
        return found

    monkeypatch.setattr(registry.Transaction, "rows", counted)
    return seen


CALLS = {
    "reserve several": lambda url, ask: several.update_all(url, wishes(ask, ["shop-2", "shop-3"])),
    "reserve again": lambda url, ask: reservations.reserve(url, ask()),
    "reserve anew": lambda url, ask: reservations.reserve(url, ask(epoch_above=9)),
    "undo": lambda url, ask: reservations.undo(url, SHOP),
    "change": lambda url, ask: instances.update(url, {"instance": SHOP, "state": "running", "in_rotation": True, "step": "start"}),
    "move": lambda url, ask: instances.update(url, {"instance": SHOP, "move": "begin"}),
    "remove": lambda url, ask: instances.update(url, {"instance": SHOP, "state": "absent"}),
    "look at an instance": lambda url, ask: overview.overview(url, instance=SHOP),
    "look at a domain": lambda url, ask: overview.overview(url, domain="example.com", last=1),
}


@pytest.mark.parametrize("call", CALLS)
def test_nothing_is_read_of_those_who_are_not_concerned(make, ask, read, call):
    url = make(pools=("198.18.1.0/24",), memory_mib=1 << 20, vcpus=1000)
    reservations.reserve(url, ask())
    numbers = []
    for newcomers in (range(1), range(1, 4)):
        crowd(url, ask, newcomers)
        read.clear()
        with pytest.MonkeyPatch.context() as patch:
            # Every time the same: what a call changes is rolled back, and the witness does not hear of it.
            patch.setattr(sa.engine.Transaction, "commit", sa.engine.Transaction.rollback)
            patch.setattr(registry.Transaction, "ended", lambda tx: None)
            CALLS[call](url, ask)
        numbers.append(len(read))
    assert numbers[0] == numbers[1] > 0


@BOTH
def test_what_a_transaction_knows_of_records_stays_true(url, ask):
    reservations.reserve(url, ask("mail-1.example.org"))
    with registry.transaction(url) as tx:
        records.used(tx)
        for wanted in wishes(ask, ["shop-1", "shop-2", "shop-3"]):
            reservations.ensure(tx, {**wanted["reservation"], "instance": wanted["instance"]})
        instances.change(tx, {"instance": "shop-1.example.com", "state": "running", "move": "begin"})
        instances.change(tx, {"instance": "shop-2.example.com", "state": "running", "move": "begin"})
        instances.change(tx, {"instance": "shop-2.example.com", "move": "end"})
        instances.change(tx, {"instance": "shop-3.example.com", "state": "absent"})
        instances.change(tx, {"instance": "mail-1.example.org", "state": "absent"})
        known = records.used(tx), sorted(records.of_domain(tx, "example.com"), key=lambda record: record["instance"])
        tx.used = None
        assert known == (records.used(tx), records.everything(tx))
        assert records.everything(tx)[0]["moves_to"] and len(records.everything(tx)) == 2


@BOTH
def test_a_domain_is_not_the_ones_below_it(url, ask):
    for name in (SHOP, "shop-1.sub.example.com", "shop-1.badexample.com"):
        reservations.reserve(url, ask(name))
    found = overview.overview(url, domain="example.com")
    assert list(found["epochs"]) == [SHOP] and [operation["instance"] for operation in found["operations"]] == [SHOP]
    assert list(overview.overview(url, domain="sub.example.com")["epochs"]) == ["shop-1.sub.example.com"]


@BOTH
def test_the_journal_shows_what_is_open_and_the_last_that_ended(url, ask):
    reservations.reserve(url, ask())
    for number in range(5):
        instances.update(url, {"instance": SHOP, "epoch_above": 10 * (number + 1), "step": f"step {number}", "operation": "move", "operation_done": True})
    instances.update(url, {"instance": SHOP, "epoch_above": 100, "step": "begun", "operation": "move"})
    found = overview.overview(url, last=2)["operations"]
    assert [(operation["steps"][-1]["step"], operation["closed"] is None) for operation in found] == [("step 3", False), ("step 4", False), ("begun", True)]
    assert [operation["closed"] for operation in overview.overview(url, last=0)["operations"]] == [None]


@BOTH
def test_a_registry_that_has_no_indexes_gets_them(make):
    url = make()
    with registry.transaction(url) as tx:
        made = {index.name for table in schema.METADATA.tables.values() for index in table.indexes}
        for name in made:
            tx.connection.exec_driver_sql(f"DROP INDEX {name}")
    make()
    with registry.reading(url) as tx:
        assert made <= {index["name"] for table in schema.METADATA.tables for index in sa.inspect(tx.connection).get_indexes(table)}
