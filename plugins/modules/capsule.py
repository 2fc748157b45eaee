#!/usr/bin/python

# Copyright: (c) 2026, The vmatrix.mesh founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Capsules in the store of an RM."""

from __future__ import annotations

DOCUMENTATION = r"""
---
module: capsule
short_description: Manage capsules in the store of a real machine
version_added: 0.1.0
author:
  - The vmatrix.mesh founders (@vmatrix)
description:
  - Makes a capsule, the file of a service's virtual machine, from a kernel and an initrd or from disk images that lie on the real machine (RM), or removes it.
  - A capsule is a manifest and the files that it names by their SHA-256 digests. It appears in the store once all its files are there and verified.
  - A version of a capsule never changes. To import other content, give it another version.
extends_documentation_fragment:
  - vmatrix.mesh.attributes
  - vmatrix.mesh.attributes.actiongroup_mesh
  - vmatrix.mesh.balance
options:
  name:
    description: The service that the capsule is for, such as V(shop); at most 58 characters, which leaves room for the numbers of its instances.
    type: str
    required: true
  version:
    description: Version of the capsule, such as V(1.0.0).
    type: str
    required: true
  domain:
    description: The domain that owns the service.
    type: str
    required: true
  state:
    description:
      - With V(present) the capsule is imported unless it is there.
      - With V(absent) it is removed, and with it the files that no other capsule and no instance on this RM uses.
        This is refused as long as an instance on this RM is made from it.
      - The VMA is not told; the playbook C(vmatrix.mesh.site) or the next import on this RM does that. Until then an operation that would use what was removed
        finds out and takes it from another RM.
    type: str
    choices:
      - present
      - absent
    default: present
  guest:
    description: What the virtual machine believes about its network; nothing inside it is ever changed. Required with O(state=present).
    type: dict
    suboptions:
      address:
        description: IPv4 address and prefix length that is configured inside.
        type: str
        required: true
      gateway:
        description: IPv4 address of the router that is configured inside.
        type: str
        required: true
      mac:
        description: MAC address of its network card, such as V(52:54:00:12:34:56); with hyphens or dots it is taken for the same.
        type: str
        required: true
  ports:
    description: Ports that the service answers on, at least one. Only these are opened to the world.
    type: list
    elements: dict
    default: []
    suboptions:
      protocol:
        description: Transport protocol.
        type: str
        choices:
          - tcp
          - udp
        default: tcp
      port:
        description: Port number, V(1) to V(65535); the first one of a range.
        type: int
        required: true
      last_port:
        description: The last port of a range. Its connections go to one instance only if O(balance.policy=sticky), or there is but one.
        type: int
      helper:
        description: >-
          What lets further connections pass that the protocol agrees on. V(ftp) (RFC 959) lets data connections through to the instance that agreed on
          them, and puts the public address into what it says of them; only where the control connection is not encrypted.
        type: str
        choices:
          - ftp
  clock:
    description: What helps the clock of the guest.
    type: dict
    version_added: 0.2.0
    suboptions:
      agent:
        description: Whether QEMU's guest agent runs in the guest, so that it can be told the time when it goes on after it was suspended.
        type: bool
        default: false
      catch_up:
        description: Whether ticks of the real-time clock are made up for that came too late, for a guest that counts them.
        type: bool
        default: false
  machine:
    description: The hardware that the virtual machine sees, on every RM alike. Required with O(state=present).
    type: dict
    suboptions:
      type:
        description: QEMU machine type, with its version.
        type: str
        default: pc-i440fx-7.2
      cpu:
        description: CPU baseline, the name of a libvirt CPU model.
        type: str
        default: qemu64
      vcpus:
        description: Number of virtual CPUs.
        type: int
        default: 1
      memory_mib:
        description: Memory in MiB.
        type: int
        required: true
  boot:
    description: A kernel that is started directly. If not given, the first of O(disks) boots by its own boot loader.
    type: dict
    suboptions:
      kernel:
        description: Absolute path of the kernel on the RM.
        type: path
        required: true
      initrd:
        description: Absolute path of the initial RAM disk on the RM.
        type: path
      cmdline:
        description: Kernel command line.
        type: str
        default: ""
  disks:
    description: Disks in the order in which the virtual machine sees them.
    type: list
    elements: dict
    default: []
    suboptions:
      name:
        description: Name of the disk, such as V(root).
        type: str
        required: true
      src:
        description:
          - Absolute path of the disk image on the RM. Either this or O(disks[].url) is required.
          - What it is says its content, not its name. A qcow2 image is taken as it is, after a check of its consistency, unless much of its length is holes.
            Raw disks, VMDK, VDI, VHDX, VHD (dynamic or fixed) and QEMU's first format (qcow) are converted to qcow2, by a program that has no rights and
            reaches no other file.
          - It may be in a virtual appliance (OVA), or packed as C(.gz), C(.xz), C(.zst), C(.bz2) or C(.zip).
          - A VMDK whose data is in files of their own is taken with those if they lie beside it and are named after it, as V(shop-flat.vmdk) and
            V(shop-s001.vmdk) are after V(shop.vmdk).
          - An image that is encrypted, cut off or damaged, or that depends on another one, is refused; so are other archives, images of CDs, and files without
            anything on them that is known of disks.
        type: path
      url:
        description:
          - Where the disk image is, by HTTPS or HTTP; what it may be is the same as with O(disks[].src).
          - It is fetched by the RM, and only when the capsule has to be made.
        type: str
        version_added: 0.2.0
      checksum:
        description: The SHA-256 of what is at O(disks[].url), such as V(sha256:9f86d081...). Nothing is looked at before this was found to be so.
        type: str
        version_added: 0.2.0
      member:
        description: Which disk of a virtual appliance (OVA) this is, by the name of its file there. Required if it has several.
        type: str
        version_added: 0.2.0
  vpn:
    description: The tunnel into the owner's intranet, for a service with back-ends there.
    type: dict
    suboptions:
      gateway:
        description: The owner's VPN gateway.
        type: dict
        required: true
        suboptions:
          address:
            description: Its address.
            type: str
            required: true
          identity:
            description:
              - What its certificate is for, or what it calls itself with a pre-shared key. It may be a name, an e-mail address, an IPv4 address,
                a distinguished name such as V(C=DE, O=Example, CN=vpn), or a key id such as V(keyid:vpn-1) or, in hexadecimal, V(keyid:#0a0b).
            type: str
            required: true
          proposals:
            description: >-
              What it proposes, in the words of strongSwan, the one that is liked best first; what is not said is as our own gateways do it.
              A gateway of others may know other algorithms only.
            type: dict
            suboptions:
              ike:
                description: For IKE, such as V(aes256-sha256-modp2048); V(aes128gcm16-prfsha256-ecp256) as usual.
                type: list
                elements: str
              esp:
                description: For ESP, such as V(aes256-sha256); V(aes128gcm16-ecp256) as usual.
                type: list
                elements: str
      identity:
        description: What the service calls itself to the owner's VPN gateway, of the same forms; its name, C(name.domain), when omitted.
        type: str
        version_added: 0.2.0
      pool:
        description: What the service's instances are in the intranet, as addresses or networks; the first instance has the first address, in every HN.
        type: list
        elements: str
        required: true
      backends:
        description: The hosts of the intranet that instances may call.
        type: list
        elements: dict
        required: true
        suboptions:
          address:
            description: The back-end's address in the intranet.
            type: str
            required: true
          ports:
            description: Its ports; nothing else is let through.
            type: list
            elements: dict
            required: true
            suboptions: &vpn_port
              protocol:
                description: The protocol; V(icmp) is an echo request (ping) and has no port.
                type: str
                default: tcp
                choices: [tcp, udp, icmp]
              port:
                description: The port.
                type: int
      inbound:
        description: The ports of instances that the back-ends may call.
        type: list
        elements: dict
        default: []
        suboptions: *vpn_port
  vpn_credentials:
    description:
      - What the tunnel needs that is not for everybody's eyes, as M(vmatrix.mesh.vpn_certificate) or M(vmatrix.mesh.vpn_secret) returned it.
        Required with O(vpn).
      - It is kept apart from the manifest, where only the store's owner can read it, and never shown.
    type: dict
    suboptions:
      authority:
        description: The certificate, in PEM, of the owner's authority. Needed with O(vpn_credentials.certificate), and only with it.
        type: str
      crl:
        description: The authority's revocation list in PEM.
        type: str
      certificate:
        description: The service's certificate in PEM. Without one its tunnel goes by a pre-shared key.
        type: str
      envelopes:
        description: The service's private or pre-shared key for each gateway that may read it, by the SHA-256 of the gateway's public wrapping key.
        type: dict
        required: true
notes:
  - A second run recognizes its sources by path, size, time of change and inode, or by URL and checksum, and reads them again only if these differ.
  - While it runs, M(vmatrix.mesh.capsule_info) shows how much of its sources it has read; so does the playbook C(vmatrix.mesh.status), if the RM runs an
    instance.
  - A disk to boot from that has no boot code in its first sector is told by a warning; one that boots by UEFI only is such a disk.
requirements:
  - python3-jsonschema
  - python3-netaddr
  - qemu-utils
seealso:
  - module: vmatrix.mesh.capsule_info
  - module: vmatrix.mesh.capsule_transfer
  - module: vmatrix.mesh.instance
"""

EXAMPLES = r"""
- name: Import a service that boots from a kernel and keeps its data on a disk
  vmatrix.mesh.capsule:
    name: shop
    version: 1.0.0
    domain: example.com
    guest:
      address: 192.168.1.10/24
      gateway: 192.168.1.1
      mac: 52:54:00:12:34:56
    ports:
      - port: 80
    machine:
      memory_mib: 128
    boot:
      kernel: /srv/images/shop/vmlinuz
      initrd: /srv/images/shop/initrd.img
      cmdline: console=ttyS0
    disks:
      - name: data
        src: /srv/images/shop/data.qcow2

- name: Import an ordinary disk image with a boot loader of its own
  vmatrix.mesh.capsule:
    name: blog
    version: "2026-11"
    domain: example.com
    guest:
      address: 192.168.1.20/24
      gateway: 192.168.1.1
      mac: 52:54:00:12:34:57
    ports:
      - port: 80
      - port: 443
    machine:
      type: pc-q35-7.2
      cpu: Westmere
      vcpus: 2
      memory_mib: 1024
    disks:
      - name: root
        src: /srv/images/blog.raw

- name: Import the system disk of a virtual appliance, and a data disk that is fetched
  vmatrix.mesh.capsule:
    name: wiki
    version: 1.0.0
    domain: example.com
    guest:
      address: 192.168.1.30/24
      gateway: 192.168.1.1
      mac: 00-0C-29-AA-BB-CC
    ports:
      - port: 443
    machine:
      memory_mib: 2048
    disks:
      - name: root
        src: /srv/images/wiki.ova
        member: wiki-disk1.vmdk
      - name: data
        url: https://images.example.com/wiki-data.qcow2.xz
        checksum: sha256:fd61a03af4f77d870fc21e05e7e80678095c92d808cfb3b5c279ee04c74aca13

- name: Remove an old version
  vmatrix.mesh.capsule:
    name: shop
    version: 0.9.0
    domain: example.com
    state: absent
"""

RETURN = r"""
capsule:
  description:
    - The manifest of the capsule that is there now, or was removed.
    - Null in check mode for a capsule that would have to be imported first, and for one that was absent already.
  type: dict
  returned: success
  sample:
    schema: 1
    name: shop
    version: 1.0.0
    domain: example.com
    guest: {address: 192.168.1.10/24, gateway: 192.168.1.1, mac: "52:54:00:12:34:56"}
    ports: [{protocol: tcp, port: 80}]
    machine: {type: pc-i440fx-7.2, cpu: qemu64, vcpus: 1, memory_mib: 128}
    boot:
      kernel: {sha256: 9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08, size: 7842752}
      initrd: {sha256: 60303ae22b998861bce3b28f33eec1be758a213c86c93c076dbe9f558c11c752, size: 1482240}
      cmdline: console=ttyS0
    disks:
      - name: data
        format: qcow2
        virtual_size: 16777216
        blob: {sha256: fd61a03af4f77d870fc21e05e7e80678095c92d808cfb3b5c279ee04c74aca13, size: 458752}
    memory: null
steps:
  description: What was done with each disk, by name, with how many bytes and how long that took; empty if nothing was done.
  type: dict
  returned: when O(state=present)
  version_added: 0.2.0
  sample:
    root:
      - {did: "taken out of the appliance (wiki-disk1.vmdk)", bytes: 734003200, seconds: 3.1}
      - {did: converted from vmdk, bytes: 734003200, seconds: 12.8}
      - {did: checked, bytes: 1482240000, seconds: 0.4}
"""

import typing as t

from ansible_collections.vmatrix.mesh.plugins.module_utils._capsule import intake, store
from ansible_collections.vmatrix.mesh.plugins.module_utils._core import identities, proposals
from ansible_collections.vmatrix.mesh.plugins.module_utils._core.outcome import Outcome
from ansible_collections.vmatrix.mesh.plugins.module_utils._module import shapes
from ansible_collections.vmatrix.mesh.plugins.module_utils._module.edge import Library, run_module
from ansible_collections.vmatrix.mesh.plugins.module_utils._steps import capsules


def present(params: dict[str, t.Any], check: bool) -> Outcome:
    wanted = {key: params[key] for key in ("name", "version", "domain", "guest", "ports", "balance", "clock", "machine", "boot", "disks")}
    wanted.update(vpn=params["vpn"], credentials=params["vpn_credentials"])
    wanted["ports"] = [{key: value for key, value in port.items() if value is not None} for port in wanted["ports"]]
    if wanted["vpn"]:
        wanted["vpn"] = _described(wanted["vpn"], f"{params['name']}.{params['domain']}")
    done = intake.import_capsule(store.Store(), wanted, dry=check)
    return Outcome(done.changed, done.before, done.after, {"capsule": done.manifest, "steps": done.steps, "warnings": list(done.warnings)})


def _described(vpn: dict[str, t.Any], service: str) -> dict[str, t.Any]:
    """Return the VPN part without what is as usual, its identities in their canonical form."""
    gateway = {**vpn["gateway"], "identity": identities.checked("owner's VPN gateway", vpn["gateway"]["identity"])}
    offered = proposals.checked("owner's VPN gateway", gateway.pop("proposals"))
    identity = identities.checked(f"tunnel of {service}", vpn["identity"] or service)
    described = {**vpn, "gateway": {**gateway, **({"proposals": offered} if offered else {})}, "identity": identity}
    return {key: value for key, value in described.items() if key != "identity" or value != service}


def call(params: dict[str, t.Any], check: bool) -> Outcome:
    return present(params, check) if params["state"] == "present" else capsules.remove(params, check)


def main() -> None:
    port = {
        "protocol": {"type": "str", "choices": ["tcp", "udp"], "default": "tcp"},
        "port": {"type": "int", "required": True},
        "last_port": {"type": "int"},
        "helper": {"type": "str", "choices": ["ftp"]},
    }
    machine = {
        "type": {"type": "str", "default": "pc-i440fx-7.2"},
        "cpu": {"type": "str", "default": "qemu64"},
        "vcpus": {"type": "int", "default": 1},
        "memory_mib": {"type": "int", "required": True},
    }
    boot = {"kernel": {"type": "path", "required": True}, "initrd": {"type": "path"}, "cmdline": {"type": "str", "default": ""}}
    disk = {"name": {"type": "str", "required": True}, "src": {"type": "path"}, **{key: {"type": "str"} for key in ("url", "checksum", "member")}}
    disks = {
        "options": disk,
        "mutually_exclusive": [("src", "url")],
        "required_one_of": [("src", "url")],
        "required_by": {"checksum": "url", "url": "checksum"},
    }
    vpn_port = {"protocol": {"type": "str", "choices": ["tcp", "udp", "icmp"], "default": "tcp"}, "port": {"type": "int"}}
    vpn_ports = {"type": "list", "elements": "dict", "options": vpn_port}
    backend = {"address": {"type": "str", "required": True}, "ports": {**vpn_ports, "required": True}}
    owner = {**shapes.needed("address", "identity"), "proposals": shapes.PROPOSALS}
    vpn = {
        "gateway": {"type": "dict", "required": True, "options": owner},
        "identity": {"type": "str"},
        "pool": {"type": "list", "elements": "str", "required": True},
        "backends": {"type": "list", "elements": "dict", "required": True, "options": backend},
        "inbound": {**vpn_ports, "default": []},
    }
    credentials = {
        **{part: {"type": "str", "no_log": True} for part in ("authority", "crl", "certificate")},
        "envelopes": {"type": "dict", "required": True, "no_log": True},
    }
    run_module(
        call,
        [Library(*library) for library in capsules.LIBRARIES],
        argument_spec={
            "name": {"type": "str", "required": True},
            "version": {"type": "str", "required": True},
            "domain": {"type": "str", "required": True},
            "state": {"type": "str", "choices": ["present", "absent"], "default": "present"},
            "guest": shapes.GUEST,
            "ports": {"type": "list", "elements": "dict", "default": [], "options": port},
            "balance": shapes.BALANCE,
            "clock": {"type": "dict", "options": {"agent": {"type": "bool", "default": False}, "catch_up": {"type": "bool", "default": False}}},
            "machine": {"type": "dict", "options": machine},
            "boot": {"type": "dict", "options": boot},
            "disks": {"type": "list", "elements": "dict", "default": [], **disks},
            "vpn": {"type": "dict", "options": vpn},
            "vpn_credentials": {"type": "dict", "no_log": True, "options": credentials},
        },
        required_if=[("state", "present", ("guest", "machine"))],
        required_together=[("vpn", "vpn_credentials")],
    )


if __name__ == "__main__":
    main()
