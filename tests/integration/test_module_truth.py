# Copyright: (c) 2026, The vmatrix.mesh founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What a module foretells in check mode is what it then does, and its diff is the same; a second run has nothing left to do.

What the DNS modules say is held against what they do in their unit test, with a real name server too. That no module was forgotten shows
tests/unit/plugins/modules/test_every_module.py.
"""

from __future__ import annotations

import concurrent.futures
import functools
import typing as t

import pytest
from load import Download, connections
from mesh_lab import CAPSULE, SHOP, Mesh, until

#: Modules whose truth is shown here.
SHOWN: set[str] = set()

EAST = "198.18.1.10"
GUEST = {**CAPSULE["capsule_import_guest"], "address": "192.168.1.99/24"}
REQUIREMENTS = {"memory_mib": 64, "vcpus": 1, "disk_bytes": 1 << 20, "machine_type": "pc-i440fx-7.2", "cpu": "qemu64", "accelerator": None}
WISH = {"capsule": "1", "guest": GUEST, "ports": [{"protocol": "tcp", "port": 80}], "requirements": REQUIREMENTS}
TRUTH, OTHER = "truth-1.example.net", "truth-2.example.net"
RESERVATION = {"instance": TRUTH, "reservation": WISH}
ROUTER = {
    "domain": "example.net",
    "vlan": 3999,
    "generation": 1,
    "gateways": ["192.168.1.1/24"],
    "services": [
        {
            "name": "truth",
            "public_address": "198.18.1.99",
            "ports": [{"protocol": "tcp", "port": 80}],
            "members": [{"instance": TRUTH, "address": "192.168.1.99"}],
        }
    ],
}
HN = {"name": "hn-east", "public_pools": ["198.18.1.0/24"], "vlan_first": 100, "vlan_last": 4000, "vcpu_overcommit": 8}
IMPORT = {key.replace("capsule_import_", ""): value for key, value in CAPSULE.items()} | {"version": "truth"}
#: Where a certificate authority is made that nobody needs.
AUTHORITY = "/etc/vmatrix/truth"


def shows(*modules: str) -> t.Callable[[t.Callable[..., None]], t.Callable[..., None]]:
    """Say of a test, one that takes C(truth), which modules' truth it shows; of each of its C(module)s if it takes that. It has to keep its word."""

    def mark(test: t.Callable[..., None]) -> t.Callable[..., None]:
        SHOWN.update(modules)

        @functools.wraps(test)
        def kept(**given: t.Any) -> None:
            test(**given)
            assert given["truth"].told == ({given["module"]} if "module" in given else set(modules))

        return kept

    return mark


class Truth:
    """Runs modules with check, apply, check, apply: the first two must tell the same, the last two that nothing is left to do."""

    def __init__(self, mesh: Mesh) -> None:
        self._mesh = mesh
        self.told: set[str] = set()

    def __call__(self, host: str, *orders: tuple[str, dict[str, t.Any]]) -> list[dict[str, t.Any]]:
        """Run modules with their arguments on a host, one after the other, and return what each did."""
        calls = [(module, arguments, check) for module, arguments in orders for check in (True, False, True, False)]
        results = self._mesh.modules(host, *calls)
        for number, (module, unused) in enumerate(orders):
            foretold, done, *again = results[4 * number : 4 * number + 4]
            assert foretold["changed"] and done["changed"], (module, foretold, done)
            assert foretold["diff"] == done["diff"], module
            for left in again:
                assert not left.get("failed") and not left["changed"], (module, left)
            self.told.add(module)
        return results[1::4]


@pytest.fixture
def truth(mesh: Mesh) -> Truth:
    return Truth(mesh)


THERE_AND_BACK = {
    "capsule": ("rm-east-1", IMPORT, {"domain": "example.com", "name": "shop", "version": "truth", "state": "absent"}),
    "vma_instance": ("gw-east", RESERVATION, {"instance": TRUTH, "state": "absent", "expected": ["reserved"]}),
    "switch": ("gw-east", {"name": "br-truth", "uplinks": []}, {"name": "br-truth", "state": "absent"}),
    "vma_hn": ("gw-east", {**HN, "vcpu_overcommit": 9}, HN),
    "vma_rm": ("gw-east", {"name": "rm-east-2", "in_service": False}, {"name": "rm-east-2", "in_service": True}),
}


@shows(*THERE_AND_BACK)
@pytest.mark.parametrize("module", THERE_AND_BACK)
def test_there_and_back(truth, module):
    host, there, back = THERE_AND_BACK[module]
    truth(host, (module, there), (module, back))


@shows("vma_instance")
def test_a_record(mesh, truth):
    epoch = mesh.module("gw-east", "vma_instance", **RESERVATION)["record"]["epoch"]
    changes = (
        {"state": "running", "in_rotation": True},
        {"move": "begin"},
        {"move": "give_up"},
        {"move": "begin"},
        {"move": "end"},
        {"epoch_above": epoch + 7},
        {"state": "suspended"},
        {"state": "leaving", "forward_to": "198.18.2.99"},
        {"state": "absent"},
    )
    truth("gw-east", *(("vma_instance", {"instance": TRUTH, **change}) for change in changes))


@shows("vma_instance")
def test_several_records(truth):
    changes = (
        {"reservation": WISH, "operation": "scale", "step": "start them"},
        {"state": "running", "in_rotation": True},
        {"operation_done": True},
        {"operation": "remove", "step": "remove them", "state": "absent"},
    )
    truth("gw-east", *(("vma_instance", {"instances": [{"instance": one, **change} for one in (TRUTH, OTHER)]}) for change in changes))


@shows("engines")
def test_the_engines(mesh, truth):
    truth("rm-east-1", ("engines", {"path": "/usr/lib/vmatrix/truth.zip"}))
    mesh.ssh("rm-east-1", "rm", "/usr/lib/vmatrix/truth.zip")


@shows("instance")
def test_the_life_of_an_instance(shop, mesh, truth):
    epoch = mesh.module("rm-east-1", "instance_info", name=SHOP)["instances"][0]["epoch"]
    how = {"name": SHOP, "epoch": epoch, "stop_timeout": 0, "stop_force": True}
    truth("rm-east-1", *(("instance", {"state": state, **how}) for state in ("suspended", "running", "stopped", "running")))


@shows("instance", "capsule_publish")
def test_the_lives_of_several_instances(mesh, truth):
    """One boots, and another one is born of its memory."""
    one, other = "shop-97.example.com", "shop-98.example.com"
    known = mesh.module("rm-east-1", "instance_info")["epochs"]

    def become(state, *names):
        # In VLANs of their own, where they call nobody.
        known_as = {one: {"vlan": 3990, "capsule": "1.0.0"}, other: {"vlan": 3991, "capsule": "truth"}}
        each = [{"name": name, "epoch": known.get(name, 0) + 1, "state": state, **known_as[name]} for name in names]
        return ("instance", {"instances": each, "stop_timeout": 0, "stop_force": True})

    published = ("capsule_publish", {"instance": one, "version": "truth"})
    both = ("capsule_publish", {"instances": [{"instance": one, "version": "truth-1"}, {"instance": other, "version": "truth-2"}]})
    orders = (become("running", one), published, become("suspended", one, other), become("running", one, other), both, become("absent", one, other))
    done = truth("rm-east-1", *orders)
    actions = [[each["action"] for each in told["instances"]] for told in done if "instances" in told]
    assert actions == [["started"], ["suspended", "furnished"], ["resumed", "resumed"], ["removed", "removed"]]
    for version in ("truth", "truth-1", "truth-2"):
        assert not mesh.module("rm-east-1", "capsule", domain="example.com", name="shop", version=version, state="absent").get("failed")


@shows("domain_router", "stage")
def test_the_members_of_a_router(shop, mesh, truth):
    """One leaves with a caller that does not go by itself."""
    (router,) = [one for one in mesh.module("gw-east", "domain_router_info")["routers"] if one["domain"] == "example.com"]
    services = [{key: one[key] for key in ("name", "public_address", "ports", "members")} for one in router["services"]]
    members = [{key: member[key] for key in ("instance", "address")} for member in services[0]["members"]]
    document = {key: router[key] for key in ("domain", "vlan", "generation", "gateways")}
    wanted = {"domain": "example.com", "addresses": [members[0]["address"]], "timeout": 0, "at_deadline": "cut"}
    drain = ("stage", {"calls": [{"call": "drain", "arguments": wanted}]})
    download = Download(EAST)
    try:
        until(lambda: sum(connections(mesh, EAST).values()) > 0, 20, "the download has begun")
        unused, drained = truth("gw-east", ("domain_router", {**document, "services": [{**services[0], "members": []}]}), drain)
    finally:
        download.abandon()
        truth("gw-east", ("domain_router", {**document, "services": [{**services[0], "members": members}]}))
    counted = drained["answers"]["drain"]["result"]
    assert (counted["connections"], counted["cut"]) == (1, 1)
    assert mesh.page(EAST)["boot_id"] == shop["boot_id"]


@shows("vma_rebuild")
def test_a_registry_that_forgot(shop, mesh, truth):
    holds = [
        {**instance, "rm": rm} for rm in ("rm-east-1", "rm-east-2") for instance in mesh.module(rm, "instance_info")["instances"] if instance["name"] == SHOP
    ]
    routers = mesh.module("gw-east", "domain_router_info")["routers"]
    before = mesh.module("gw-east", "vma_info")["records"]
    mesh.module("gw-east", "vma_instance", instance=SHOP, state="suspended")
    truth("gw-east", ("vma_rebuild", {"instances": holds, "routers": routers}))
    assert mesh.module("gw-east", "vma_info")["records"] == before


@shows("vpn_wrapping_key", "vpn_responder")
def test_the_vpn_gateway_of_an_owner(mesh, truth):
    truth("other-owner", ("vpn_wrapping_key", {}))
    mesh.ssh("other-owner", "rm", "/etc/vmatrix/vpn/wrapping.key")
    own = mesh.module("other-owner", "vpn_certificate", name="vpn.example.org")
    authority = mesh.module("other-owner", "vpn_authority", domain="example.org")["certificate"]
    responder = {
        "domain": "example.org",
        "local": {"address": "198.18.0.5", "identity": "vpn.example.org", "certificate": own["certificate"], "key": own["key_path"]},
        "authority": authority,
        "crl": own["crl"],
        "backends": ["172.21.162.10"],
    }
    let_in, another = {"name": "store", "addresses": ["172.21.162.9", "172.21.162.16/30"]}, {"name": "truth", "addresses": ["172.21.162.40"]}
    documents = [{**responder, "services": [let_in, another]}, {"domain": "example.org", "state": "absent"}, {**responder, "services": [let_in]}]
    truth("other-owner", *(("vpn_responder", document) for document in documents))


@shows("vpn_authority", "vpn_certificate", "domain_router", "vpn_tunnel")
def test_a_tunnel_and_its_certificate(mesh, truth):
    """A gateway is its own owner here; that nobody answers at the other end does not matter."""
    here, there = (mesh.module(gateway, "vpn_wrapping_key")["public_key"] for gateway in ("gw-east", "gw-west"))
    certificate = {"name": "truth.example.net", "directory": AUTHORITY, "recipients": [here]}
    tunnel = {"domain": "example.net", "service": "truth"}
    mapping = {"instance": TRUTH, "fabric_address": "192.168.1.99", "intranet_address": "172.21.162.40"}
    ends = {"mappings": [mapping], "backends": [{"address": "172.21.162.10", "ports": [{"port": 5432}]}], "timeout": 0}

    def papers(issued):
        return {"certificate": issued["certificate"], "envelope": next(iter(issued["envelopes"].values()))}

    try:
        authority, issued, unused = truth(
            "gw-east",
            ("vpn_authority", {"domain": "example.net", "directory": AUTHORITY}),
            ("vpn_certificate", certificate),
            ("domain_router", ROUTER),
        )
        peer = {"address": "198.18.0.99", "identity": "vpn.example.net", "authority": authority["certificate"]}
        truth("gw-east", ("vpn_tunnel", {**tunnel, "local": {"address": "198.18.1.99", **papers(issued)}, "peer": peer, **ends}))

        # These two are no states: one certificate after the other, and each envelope another one.
        envelope = ("stage", {"calls": [{"call": "wrap_tunnel", "arguments": {**tunnel, "recipient": there}}]})
        renewal = ("vpn_certificate", {**certificate, "renew": True})
        foretold, renewed, *wrapped = mesh.modules("gw-east", (*renewal, True), (*renewal, False), (*envelope, True), (*envelope, False))
        assert foretold["changed"] and renewed["changed"] and foretold["diff"] == renewed["diff"]
        assert [each["changed"] for each in wrapped] == [False, False]

        truth(
            "gw-east",
            ("vpn_tunnel", {**tunnel, "state": "renewed", "local": papers(renewed), "timeout": 0}),
            ("vpn_tunnel", {**tunnel, "state": "absent"}),
            ("domain_router", {**ROUTER, "services": [{**ROUTER["services"][0], "members": [], "forward_to": "198.18.2.99"}]}),
            ("domain_router", {**ROUTER, "state": "absent"}),
            ("vpn_certificate", {**certificate, "state": "absent"}),
        )
    finally:
        mesh.module("gw-east", "domain_router", domain="example.net", state="absent")
        mesh.shell("gw-east", f"rm -r {AUTHORITY}")


@shows("capsule_transfer", "instance_cutover")
def test_a_transfer_and_a_cutover(mesh, truth):
    assert mesh.play("remove", instance=SHOP).ok
    identity, peer = {"domain": "example.com", "name": "shop", "version": "1.0.0"}, {"name": "rm-east-2", "address": "10.81.0.12"}
    mesh.module("rm-east-2", "capsule", **identity, state="absent")
    (sent,) = truth("rm-east-1", ("capsule_transfer", {**identity, "to": peer}))
    assert 0 < sent["bytes_wire"] < sent["bytes_total"]

    # In a VLAN of its own, where it calls nobody; it runs on when it goes, and is suspended when it comes back.
    moving, rms = "shop-97.example.com", [{"name": "rm-east-1", "address": "10.81.0.11"}, peer]
    epoch = 1 + max(mesh.module(rm["name"], "instance_info")["epochs"].get(moving, 0) for rm in rms)
    mesh.module("rm-east-1", "instance", name=moving, state="running", epoch=epoch, capsule="1.0.0", vlan=3990)
    try:
        for live, (source, target) in ((True, rms), (False, rms[::-1])):
            epoch += 1
            order = {"name": moving, "epoch": epoch, "live": live}
            sides = {
                source["name"]: {**order, "side": "source", "peer": target},
                target["name"]: {**order, "side": "target", "peer": source, "vlan": 3990, "record": {"capsule": "1.0.0"}},
            }
            with concurrent.futures.ThreadPoolExecutor() as pool:
                (gave,), (took,) = pool.map(lambda side: truth(side[0], ("instance_cutover", side[1])), sides.items())
            assert gave["handed_over"] == "yes" and took["instance"]["state"] == "running"
        epoch += 1
        several = {
            "rm-east-1": {"side": "source", "instances": [{"name": moving, "epoch": epoch, "peer": peer}]},
            "rm-east-2": {"side": "target", "instances": [{"name": moving, "epoch": epoch, "vlan": 3990, "record": {"capsule": "1.0.0"}}]},
        }
        with concurrent.futures.ThreadPoolExecutor() as pool:
            (gave,), (took,) = pool.map(lambda side: truth(side[0], ("instance_cutover", side[1])), several.items())
        assert gave["instances"][0]["handed_over"] == "yes" and took["instances"][0]["instance"]["state"] == "running"
    finally:
        for rm in rms:
            gone = mesh.module(rm["name"], "instance", name=moving, state="absent", epoch=epoch, stop_timeout=0, stop_force=True)
            assert not gone.get("failed"), gone
