# Copyright: (c) 2026, The vmatrix.mesh founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Several instances in one transaction, on a real registry."""

from __future__ import annotations

import pytest
from postgresql import BOTH

from ansible_collections.vmatrix.mesh.plugins.module_utils._core.errors import InvalidInput, Refused
from ansible_collections.vmatrix.mesh.plugins.module_utils._vma import overview, several

NAMES = [f"shop-{ordinal}.example.com" for ordinal in range(1, 5)]


def wishes(ask, names=NAMES, **more):
    reservation = {key: value for key, value in ask().items() if key != "instance"}
    return [{"instance": name, "reservation": reservation, "operation": "scale", **more} for name in names]


@BOTH
def test_clones_are_reserved_and_published_at_once(url, ask):
    before = overview.overview(url)
    foretold = several.update_all(url, wishes(ask), dry_run=True)
    assert overview.overview(url) == before
    done = several.update_all(url, wishes(ask))
    assert done == foretold and done.changed and done.result["router"]["generation"] == before["hn"]["generation"] + 1
    assert [(record["instance"], record["rm"]) for record in done.result["records"]] == list(zip(NAMES, ["rm-east-1", "rm-east-2"] * 2))
    assert len({record["fabric_address"] for record in done.result["records"]}) == len(NAMES)
    assert not several.update_all(url, wishes(ask)).changed
    running = [{"instance": name, "state": "running", "in_rotation": True, "step": "start"} for name in NAMES]
    members = several.update_all(url, running).result["router"]["services"][0]["members"]
    assert [member["instance"] for member in members] == NAMES
    opened = [(entry["kind"], entry["closed"]) for entry in overview.overview(url)["operations"]]
    assert opened == [("scale", None)] * len(NAMES)
    assert several.update_all(url, [{"instance": name, "operation_done": True} for name in NAMES]).changed
    gone = several.update_all(url, [{"instance": name, "state": "absent"} for name in NAMES[1:]])
    assert gone.result["records"] == [None] * 3 and len(gone.result["router"]["services"][0]["members"]) == 1


@BOTH
def test_all_or_nothing(make, ask):
    url = make(memory_mib=192)
    before = overview.overview(url)
    with pytest.raises(Refused, match=r"no room for shop-3\.example\.com"):
        several.update_all(url, wishes(ask))
    assert overview.overview(url) == before


def test_who_is_looked_for_at_its_guest_address_has_that_or_nothing(url, ask):
    first, second = wishes(ask, NAMES[:2])
    second["reservation"]["own_address"] = True
    before = overview.overview(url)
    with pytest.raises(Refused, match=r"others look for it at its guest address 192\.168\.1\.10, and shop-1\.example\.com goes by that already"):
        several.update_all(url, [first, second])
    assert overview.overview(url) == before
    assert several.update_all(url, [second]).result["records"][0]["fabric_address"] == "192.168.1.10"
    assert not several.update_all(url, [second]).changed
    # What was reserved without that wish is reserved anew; what runs stays.
    others = wishes(ask, NAMES[2:3])
    assert several.update_all(url, others).result["records"][0]["fabric_address"] == "192.168.1.254"
    several.update_all(url, [{"instance": NAMES[2], "state": "running"}])
    others[0]["reservation"]["own_address"] = True
    with pytest.raises(Refused, match="its fabric address would be other"):
        several.update_all(url, others)


def test_epochs_exceed_those_that_were_granted_elsewhere(url, ask):
    several.update_all(url, wishes(ask, NAMES[:2]))
    raised = several.update_all(url, [{"instance": name, "state": "running", "epoch_above": above} for name, above in zip(NAMES, (7, 0))])
    assert [record["epoch"] for record in raised.result["records"]] == [8, 1]


@pytest.mark.parametrize(
    ("names", "sentence"),
    [
        ([], "The instances must be of one domain, not of none."),
        (["shop-1.example.com", "shop-1.example.org"], "The instances must be of one domain, not of example.com and example.org."),
        (["shop-1.example.com", "shop-1.example.com"], "shop-1.example.com is there more than once."),
        (["../x"], "'../x' is not an instance: it must look like 'shop-1.example.com' (service, ordinal, domain)."),
    ],
)
def test_what_is_invalid(url, ask, names, sentence):
    with pytest.raises(InvalidInput) as caught:
        several.update_all(url, wishes(ask, names))
    assert caught.value.message == sentence
