# Copyright: (c) 2026, The vmatrix.mesh founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Note that this plugin util is private to the collection. It can break at any time.
# Do not use it from other collections or your own code.

"""What an operation meets before it can be planned: others that are at work on the same instances, and one that was cut off. Pure functions."""

from __future__ import annotations

import typing as t

from ansible_collections.vmatrix.mesh.plugins.module_utils._core import names
from ansible_collections.vmatrix.mesh.plugins.module_utils._core.errors import Refused
from ansible_collections.vmatrix.mesh.plugins.module_utils._vma import sentences
from ansible_collections.vmatrix.mesh.plugins.plugin_utils._cpa.view import View

#: Seconds that an RM may take for starting its instances again before it is said that it is at work.
RESTART_SECONDS = 90

Gone = t.Callable[[t.Mapping[str, t.Any]], bool]


class Met(t.NamedTuple):
    """What is in the way.

    Attributes:
        at_work: by VMA the leases of others that are alive, the number of each by its instance.
        starting: those of them that RMs have for starting their instances again; these end by themselves, and soon.
        cut_off: an instance of the oldest run that was cut off, or None.
    """

    at_work: dict[str, dict[str, int]]
    starting: dict[str, dict[str, int]]
    cut_off: str | None


def met(view: View, wish: t.Mapping[str, t.Any], gone: Gone, take_over: bool = False) -> Met:
    """Return what is in the way of what is wished for.

    Args:
        view: what the VMAs said.
        wish: by the names that C(plan) of the verb takes.
        gone: whether a controller is known to be gone.
        take_over: whether the operator says that whoever is at work is dead.
    """
    at_work: dict[str, dict[str, int]] = {}
    starting: dict[str, dict[str, int]] = {}
    alive: set[str] = set()
    for site in view.sites.values():
        for lease in site.leases:
            if not take_over and not gone(lease["controller"]):
                alive.update(lease["run"].split("."))
                if _concerns(view, lease["instance"], wish):
                    at_work.setdefault(site.vma, {})[lease["instance"]] = lease["number"]
                    if lease["operation"] == sentences.RESTART:
                        starting.setdefault(site.vma, {})[lease["instance"]] = lease["number"]
    dead = [run for site in view.sites.values() for run in site.runs if run["run"] not in alive]
    runs = [run for run in dead if any(_concerns(view, name, wish) for name in run["instances"])]
    oldest = min(runs, key=lambda run: run["began"], default=None)
    return Met(at_work, starting, oldest["instances"][0] if oldest else None)


def refuse_busy(view: View, wish: t.Mapping[str, t.Any], gone: Gone, take_over: bool = False) -> None:
    """Raise Refused, with the sentence that says who it is, if somebody is at work on what is wished for; the arguments are those of met()."""
    at_work = {number for numbers in met(view, wish, gone, take_over).at_work.values() for number in numbers.items()}
    for site, lease in ((site, lease) for site in view.sites.values() for lease in site.leases):
        if (lease["instance"], lease["number"]) in at_work:
            raise Refused(sentences.busy(lease["instance"], site.name, lease, lease["left"]))


def _concerns(view: View, instance: str, wish: t.Mapping[str, t.Any]) -> bool:
    """Whether an instance is one of those that are wished for, or of the service whose number is, or on the RM that is to be rescued."""
    if "dead" in wish:
        mine = [record for site in view.sites.values() for record in site.records if record["instance"] == instance]
        return any(wish["rm"] in (record["rm"], record["moves_to"]) for record in mine)
    if instance in (wish.get("instance"), *(wish.get("instances") or ()), *(wish.get("clones") or ())):
        return True
    name = names.instance(instance)
    return (name.service, name.domain) == (wish.get("service"), wish.get("domain"))
