# Copyright: (c) 2026, The vmatrix.mesh founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Note that this plugin util is private to the collection. It can break at any time.
# Do not use it from other collections or your own code.

"""What an operator wishes for: variables, as the argument spec of a verb's role describes them, read into values. Pure functions."""

from __future__ import annotations

import re
import typing as t

from ansible.module_utils.common.arg_spec import ArgumentSpecValidator

#: What the variables of playbooks were called until 0.2.0, where that was not the option's name without its verb.
FORMERLY = {"move_instances": "instance", "clone_instances": "instance", "scale_drain_timeout": "timeout", "update_drain_timeout": "timeout"}
#: What never had another name: options of all verbs, and of one.
NEW = (
    *("answer_timeout", "stop_timeout", "patience", "drain_patience"),
    *("move_timeout", "move_drain_timeout", "move_at_deadline", "suspend_timeout", "resume_timeout", "clone_timeout"),
    *("rescue_rm", "rescue_fence", "rescue_fence_host", "rescue_dead"),
    "place_keep_failed",
)

Options = t.Mapping[str, t.Mapping[str, t.Any]]


class Wish(t.NamedTuple):
    """What was read.

    Attributes:
        values: of each option, by its name without the verb in front of it; None where nothing is said and nothing is usual.
        renamed: names that were used and will not do for ever, and what to say instead.
        error: the sentence that says what is wrong, or None.
    """

    values: dict[str, t.Any]
    renamed: dict[str, str]
    error: str | None


def read(operation: str, options: Options, given: t.Mapping[str, t.Any], extra: t.Mapping[str, t.Any]) -> Wish:
    """Return what is wished for.

    Args:
        operation: the verb; the names of all its options begin with it.
        options: its role's options.
        given: the variables of these names.
        extra: the variables of the command line, or of a survey. Only there an option may go by its former name: an inventory's variable of that name is
            somebody else's.
    """
    said, renamed = {}, {}
    for name, option in options.items():
        value = given.get(name)
        old = FORMERLY.get(name, name[len(operation) + 1 :])
        if _nothing(value) and not {old, name} & set(NEW) and not _nothing(extra.get(old)):
            value, renamed[old] = extra[old], name
        if not _nothing(value):
            said[name] = _listed(value) if option["type"] == "list" else value
    for name, option in options.items():
        if option.get("required") and name not in said:
            return Wish({}, renamed, f"The variable {name} is missing or empty: say it with -e {name}=... ({_first(option['description'])})")
    spec = {name: {key: option[key] for key in ("type", "elements", "choices", "default") if key in option} for name, option in options.items()}
    read_in = ArgumentSpecValidator(spec).validate(said)
    if read_in.error_messages:
        return Wish({}, renamed, " ".join(f"{each[0].upper()}{each[1:].rstrip('.')}." for each in read_in.error_messages))
    values = {name[len(operation) + 1 :]: read_in.validated_parameters.get(name) for name in options}
    return Wish(values, renamed, None)


def _nothing(value: t.Any) -> bool:
    return value is None or value == [] or (isinstance(value, str) and not value.strip())


def _listed(value: t.Any) -> list[t.Any]:
    """Return a list, also of a text with commas or lines, as surveys give it."""
    if isinstance(value, str):
        return [part.strip() for part in value.replace("\n", ",").split(",") if part.strip()]
    return list(value) if isinstance(value, (list, tuple)) else [value]


def _first(description: t.Any) -> str:
    """Return the first sentence or so of a description, without its markup."""
    return re.sub(r"\b[A-Z]\(([^)]*)\)", r"\1", description if isinstance(description, str) else description[0]).rstrip(".")
