# Copyright: (c) 2026, The vmatrix.mesh founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Note that this module util is private to the collection. It can break at any time.
# Do not use it from other collections or your own code.

"""The edge between Ansible and the engines: one way to read arguments, call an engine and report."""

from __future__ import annotations

import traceback
import typing as t

from ansible.module_utils.basic import AnsibleModule, missing_required_lib

from ansible_collections.vmatrix.mesh.plugins.module_utils._core.errors import MeshError
from ansible_collections.vmatrix.mesh.plugins.module_utils._core.outcome import Outcome


class Library(t.NamedTuple):
    """A Python library that an engine needs: its name, and what is said where it cannot be imported (None where it can)."""

    name: str
    import_error: str | None


def run_module(call: t.Callable[[dict[str, t.Any], bool], Outcome], libraries: t.Sequence[Library] = (), **spec: t.Any) -> None:
    """Run a module that changes something.

    Args:
        call: gets the parameters and whether this is check mode, and returns an Outcome.
        libraries: what must be importable on the host.
        spec: what AnsibleModule takes (argument_spec, required_if, ...).
    """
    module = AnsibleModule(supports_check_mode=True, **spec)
    outcome = _guarded(module, libraries, lambda: call(module.params, module.check_mode))
    diff = {"diff": {"before": outcome.before, "after": outcome.after}} if module._diff else {}
    module.exit_json(changed=outcome.changed, **outcome.result, **diff)


def run_info_module(call: t.Callable[[dict[str, t.Any]], dict[str, t.Any]], libraries: t.Sequence[Library] = (), **spec: t.Any) -> None:
    """Run a module that only looks; *call* gets the parameters and returns the result."""
    module = AnsibleModule(supports_check_mode=True, **spec)
    module.exit_json(changed=False, **_guarded(module, libraries, lambda: call(module.params)))


def _guarded(module: AnsibleModule, libraries: t.Sequence[Library], call: t.Callable[[], t.Any]) -> t.Any:
    for library in libraries:
        if library.import_error is not None:
            module.fail_json(msg=missing_required_lib(library.name), exception=library.import_error)
    try:
        return call()
    except MeshError as exc:
        module.fail_json(msg=exc.message, exception=traceback.format_exc(), **exc.result)
