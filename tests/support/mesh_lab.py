# Copyright: (c) 2026, The vmatrix.mesh founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Acting on the lab as an operator does, and looking at it from outside."""

from __future__ import annotations

import concurrent.futures
import difflib
import functools
import json
import os
import pathlib
import shlex
import shutil
import subprocess
import sys
import tempfile
import time
import typing as t

import ansible_runner
import compiled_once
import yaml

ROOT = pathlib.Path(__file__).resolve().parents[2]
#: Where the lab's inventory and SSH configuration lie. The second worker of pytest-xdist has a lab of its own, made of the same images.
TWIN = os.environ.get("PYTEST_XDIST_WORKER") == "gw1"
LAB = ROOT / (".lab-twin" if TWIN else ".lab")
if TWIN:
    _name = os.environ.get("VMATRIX_LAB_NAME", "vmatrix-lab")
    os.environ.update(VMATRIX_LAB_NAME=f"{_name}-twin", VMATRIX_LAB_DIRECTORY=LAB.name, VMATRIX_LAB_CACHE=f"/var/cache/{_name}")
#: ansible-playbook of this Python, whoever calls.
os.environ["PATH"] = f"{pathlib.Path(sys.executable).parent}:{os.environ['PATH']}"
#: What may differ between two looks at a mesh that nobody changed: also what is kept of the runs of operations, and of their leases.
RESTLESS = r"grep -vE '\.lock |/(accelerator|capabilities|capacity)\.json |/console\.log |\.qcow2 |/vmatrix/(journal|leases)/'"


#: Operations, whose variables begin with their name; settings of other roles keep theirs.
VERBS = ("place", "suspend", "resume", "drain", "remove", "move", "clone", "scale", "standby", "update", "recover", "rescue", "rm_service")
OWN = ("names_", "operation_", "capsule_import_", "vpn_certificate_", "history_", *(f"{verb}_" for verb in VERBS))
#: What has another name than the verb's and its own in one.
FORMER = {
    ("rebuild", "of_hn"): "rebuild_hn",
    **{("capsule_import", name): f"capsule_import_{name}" for name in ("rm", "owner")},
    **{("vpn_certificate", name): f"vpn_certificate_{name}" for name in ("service", "owner", "action", "days", "readers")},
    **{(verb, "instance"): f"{verb}_instances" for verb in ("move", "clone")},
    **{(verb, "timeout"): f"{verb}_drain_timeout" for verb in ("scale", "update")},
}


class Play:
    """What came out of one run of ansible-playbook."""

    def __init__(self, runner: ansible_runner.Runner, seconds: float) -> None:
        self.seconds = seconds
        self.ok = runner.rc == 0
        self.changed = sum((runner.stats or {}).get("changed", {}).values())
        self.output = runner.stdout.read()
        events = [(event["event"], event["event_data"]) for event in runner.events if event["event"].startswith("runner_on_")]
        told = [(kind, data) for kind, data in events if kind in ("runner_on_ok", "runner_on_failed", "runner_on_unreachable")]
        self.results = [(data.get("host"), data.get("task"), data.get("res", {})) for unused, data in told]
        self.messages = [str(data["res"].get("msg", "")) for kind, data in told if kind == "runner_on_failed"]

    def step(self, step: str, host: str | None = None) -> dict[str, t.Any]:
        """Return what became of a step of the operation's plan, by its id, on a device."""
        found = [result["answers"][step] for at, unused, result in self.results if step in result.get("answers", {}) and host in (None, at)]
        assert found, f"no device answered the step {step!r}:\n{self.output}"
        return found[-1]

    def answer(self, step: str, host: str | None = None) -> dict[str, t.Any]:
        """Return what a device answered to a step of the operation's plan."""
        return self.step(step, host)["result"]

    def result(self, task: str, host: str | None = None) -> dict[str, t.Any]:
        """Return the result of a task by the end of its name."""
        found = [result for at, name, result in self.results if name and name.endswith(task) and host in (None, at)]
        assert found, f"no task {task!r} ran:\n{self.output}"
        return found[-1]


class Mesh:
    """The lab, as operators and clients see it."""

    #: How talkative runs of ansible-playbook are: the number of -v.
    verbosity = 0
    #: Where ansible-playbook finds the collection.
    collections = ROOT / ".build" / "collections"

    def stand_up(self) -> None:
        """Build and start this lab, unless it stands."""
        self._all_pass("lab", "lab_backends")

    def start_over(self) -> None:
        """Take this lab down with all that lives in it, and start it anew."""
        self._all_pass("lab_teardown", "lab", "lab_backends")

    def _all_pass(self, *playbooks: str) -> None:
        for playbook in playbooks:
            done = self.play(playbook)
            assert done.ok, done.output

    def hasten(self) -> None:
        """Have Python on every host keep what it compiled of the modules that it was sent, and Ansible what it built to be sent."""
        archives = ROOT / ".build" / f"modules-{LAB.name}"
        shutil.rmtree(archives, ignore_errors=True)
        archives.mkdir(parents=True)
        os.environ.update(ANSIBLE_CALLBACK_PLUGINS=str(ROOT / "tests" / "support" / "callback"), VMATRIX_BUILT_ONCE=str(archives))
        hook, directory = pathlib.Path(compiled_once.__file__), "/usr/local/lib/python3.11/dist-packages"
        start = f"import {hook.stem}; {hook.stem}.install()"
        script = f"mkdir -p {compiled_once.CACHE}; cat > {directory}/{hook.name}; echo '{start}' > {directory}/{hook.stem}.pth"
        self._at_once(*((host, "sh", "-ec", script) for host in self.group("lab")), check=True, stdin=hook.read_text(encoding="utf-8"))

    def play(self, playbook: str, check: bool = False, limit: str | None = None, **variables: t.Any) -> Play:
        """Run a playbook, by its name or a path, with extra variables, if need be on some hosts only."""
        prefix = f"{playbook}_" if playbook in VERBS else ""
        named = {FORMER.get((playbook, name), name if name.startswith(OWN) else f"{prefix}{name}"): value for name, value in variables.items()}
        what = {"playbook": str(ROOT / "playbooks" / f"{playbook}.yml"), "extravars": named, "verbosity": self.verbosity or None, "limit": limit}
        return self._run(what, check)

    def module(self, host: str, module: str, /, check: bool = False, **arguments: t.Any) -> dict[str, t.Any]:
        """Run one module of ours on a host, with diff, and return its result."""
        return self.everywhere(host, module, check, **arguments)[-1]

    def everywhere(self, hosts: str, module: str, /, check: bool = False, **arguments: t.Any) -> list[dict[str, t.Any]]:
        """Run one module of ours on all hosts of a pattern at the same time, with diff, and return their results."""
        play = self._run({"module": f"vmatrix.mesh.{module}", "module_args": json.dumps(arguments) if arguments else "", "host_pattern": hosts}, check)
        assert play.results and not any(result.get("unreachable") for unused, unused_too, result in play.results), play.output
        return [result for unused, unused_too, result in play.results]

    def modules(self, host: str, *calls: tuple[str, dict[str, t.Any], bool]) -> list[dict[str, t.Any]]:
        """Run several modules of ours on a host in one play, one after the other, with diff.

        Args:
            calls: of each its name, its arguments, and whether it runs in check mode.

        Returns:
            The result of each, also of one that fails.
        """
        tasks = [{f"vmatrix.mesh.{module}": arguments, "check_mode": check, "ignore_errors": True} for module, arguments, check in calls]
        with tempfile.NamedTemporaryFile("w", dir=self._base(), suffix=".yml") as book:
            json.dump([{"hosts": host, "gather_facts": False, "tasks": tasks}], book)
            book.flush()
            play = self._run({"playbook": book.name}, False)
        assert len(play.results) == len(calls), play.output
        return [result for unused, unused_too, result in play.results]

    @staticmethod
    def _base() -> pathlib.Path:
        base = ROOT / ".build" / "runner"
        base.mkdir(parents=True, exist_ok=True)
        return base

    def _run(self, what: dict[str, t.Any], check: bool) -> Play:
        began = time.monotonic()
        # A directory of its own for each run: the runner mixes the variables that it finds there into those of the next.
        with tempfile.TemporaryDirectory(dir=self._base()) as private:
            runner = ansible_runner.run(
                private_data_dir=private,
                project_dir=str(ROOT),
                inventory=str(LAB / "inventory.yml") if LAB.exists() else "localhost,",
                envvars={"ANSIBLE_CONFIG": str(ROOT / "ansible.cfg"), "ANSIBLE_COLLECTIONS_PATH": str(self.collections)},
                cmdline="--diff --check" if check else "--diff",
                quiet=True,
                **what,
            )
            play = Play(runner, time.monotonic() - began)
        assert "Callback dispatch" not in play.output, f"what a module returned could not be shown:\n{play.output}"
        return play

    def import_anew(self, rm: str, capsule: dict[str, t.Any]) -> Play:
        """Import a capsule (the variables of the playbook) that no instance uses; an earlier one of its name and version may hold another certificate."""
        identity = {key: capsule[f"capsule_import_{key}"] for key in ("domain", "name", "version")}
        for removed in self.everywhere("rms", "capsule", **identity, state="absent"):
            assert "exception" not in removed, removed["msg"]
        imported = self.play("capsule_import", rm=rm, **capsule)
        assert imported.ok and imported.changed, imported.output
        return imported

    def place_anew(self, rm: str, public_address: str) -> Play:
        """Set the lab up, and place the shop on an RM in hn-east, wherever it was before; return the placement."""
        self._all_pass("site")
        for playbook, variables in (
            ("capsule_import", {"rm": rm, **CAPSULE}),
            ("remove", {"instance": SHOP}),
            ("place", {"instance": SHOP, "capsule": "1.0.0", "to_hn": "hn-east", "to_rm": rm, "public_address": public_address}),
        ):
            done = self.play(playbook, **variables)
            assert done.ok, done.output
        return done

    def four_times(self, playbook: str, **variables: t.Any) -> Play:
        """Run a playbook with check, apply, check, apply; the checks must foretell the runs and change nothing, the second run too."""
        done = self.as_foretold(playbook, **variables)
        self.nothing_left(playbook, **variables)
        return done

    def as_foretold(self, playbook: str, **variables: t.Any) -> Play:
        """Run a playbook with check, apply; the check must change nothing and foretell whether the run does."""
        before = self.snapshot()
        foretold = self.play(playbook, check=True, **variables)
        assert foretold.ok, foretold.output
        self.must_be(before, "check mode changed something")
        done = self.play(playbook, **variables)
        assert done.ok, done.output
        assert (foretold.changed > 0) == (done.changed > 0), foretold.output
        return done

    def nothing_left(self, playbook: str, look: bool = True, **variables: t.Any) -> Play:
        """Run a playbook that has done its work with check, apply; both must find nothing left to do, and with *look* leave every device as it was."""
        before = self.snapshot() if look else None
        for check in (True, False):
            again = self.play(playbook, check=check, **variables)
            assert again.ok, again.output
            assert again.changed == 0, again.output
        if before is not None:
            self.must_be(before, "a second run changed something")
        return again

    def must_refuse(self, playbook: str, sentence: str, look: bool = True, **variables: t.Any) -> None:
        """Run a playbook that must fail with a sentence; with *look*, also see that every device is left as it was."""
        before = self.snapshot() if look else None
        play = self.play(playbook, **variables)
        assert not play.ok, play.output
        assert any(sentence in message for message in play.messages), play.messages
        assert play.changed == 0, play.output
        if before is not None:
            self.must_be(before, f"what was refused changed something: {play.output}")

    def must_be(self, before: dict[str, str], what: str) -> None:
        """See that every device is as a snapshot says; *what* is wrong if not."""
        now = self.snapshot()
        differences = {host: list(difflib.unified_diff(before[host].splitlines(), now[host].splitlines(), lineterm="", n=0)) for host in now}
        assert now == before, f"{what}: {({host: lines for host, lines in differences.items() if lines})}"

    def ssh(self, host: str, *command: str, check: bool = True, stdin: str | None = None) -> str:
        """Run a command on a host of the lab, with a text for its standard input, and return what it printed."""
        argv = ["ssh", "-F", str(LAB / "ssh_config"), "-o", "ControlMaster=auto", "-o", f"ControlPath={_sockets()}/it-%n"]
        done = subprocess.run(
            [*argv, "-o", "ControlPersist=60s", host, shlex.join(command)], input=stdin or "", capture_output=True, text=True, timeout=120, check=False
        )
        assert not check or done.returncode == 0, f"{host}: {shlex.join(command)}: {done.stderr or done.stdout}"
        return done.stdout

    def _at_once(self, *commands: tuple[str, ...], check: bool = False, stdin: str | None = None) -> list[str]:
        """Run commands, each on the host that it begins with, at the same time, and return what each printed."""
        with concurrent.futures.ThreadPoolExecutor() as pool:
            return list(pool.map(lambda command: self.ssh(*command, check=check, stdin=stdin), commands))

    def shell(self, host: str, script: str) -> str:
        """Run a shell script on a host of the lab and return what it printed."""
        return self.ssh(host, "bash", "-euo", "pipefail", "-c", script)

    def alive(self, host: str, condition: str = "true") -> bool:
        """Tell whether a host lets us log in, over a connection of its own, and a condition (a command) is met there."""
        argv = ["ssh", "-F", str(LAB / "ssh_config"), "-o", "ControlPath=none", "-o", "ConnectTimeout=2", host, condition]
        try:
            return subprocess.run(argv, stdin=subprocess.DEVNULL, capture_output=True, timeout=10, check=False).returncode == 0
        except subprocess.TimeoutExpired:
            # A host that is going down may take a connection and say nothing more.
            return False

    def reboot(self, host: str, timeout: float = 150) -> None:
        """Reboot a host and wait until it is up again: it may do so faster than one could see that it is down, but forgets what lay in /run."""
        marker = "/run/before-the-reboot"
        self.ssh(host, "touch", marker)
        self.ssh(host, "systemctl", "reboot", check=False)
        until(lambda: self.alive(host, f"test ! -e {marker}"), timeout, f"{host} has rebooted")

    def page(self, address: str, path: str = "/cgi-bin/page", client: str = "client-east", timeout: float = 3) -> dict[str, t.Any] | None:
        """Return the guest's page as a client sees it, or None when it does not answer."""
        text = self.ssh(client, "curl", "-s", "-m", str(timeout), f"http://{address}{path}", check=False)
        return json.loads(text) if text else None

    def refused(self, address: str, port: int = 80, client: str = "client-east") -> bool:
        """Tell whether a connection is refused at once (TCP reset), rather than lost or served."""
        done = self.ssh(client, "curl", "-s", "-o", "/dev/null", "-m", "3", "-w", "%{exitcode}", f"http://{address}:{port}/", check=False)
        return done.strip() == "7"

    def remove_all(self) -> None:
        """Remove every instance of the lab."""
        for name in sorted(self.instances()):
            gone = self.play("remove", instance=name)
            assert gone.ok, gone.output
        assert not self.instances(), "what no VMA knows of cannot be removed"

    def instances(self) -> set[str]:
        """Return the names of all instances that an RM or a VMA knows."""
        select = "sqlite3.connect('file:/var/lib/vmatrix/vma/registry.db?mode=ro', uri=True).execute('select instance from records')"
        registry = f"import sqlite3; [print(*row) for row in {select}]"
        rms, vmas = ("ls", "/var/lib/vmatrix/instances"), ("python3", "-c", registry)
        said = self._at_once(*((host, *rms) for host in self.group("rms")), *((host, *vmas) for host in self.group("vmas")))
        return {name for names in said for name in names.split()}

    def whereabouts(self, instance: str) -> dict[str, str]:
        """Return what each device that knows an instance says of it: RMs its state, VMAs its record and how many operations on it are open."""
        registry = (
            "import sqlite3, sys; registry = sqlite3.connect('/var/lib/vmatrix/vma/registry.db'); "
            "[print(*row) for row in registry.execute('select capsule, rm, state, in_rotation, public_address, "
            "(select count(*) from operations where instance = records.instance and closed is null) from records where instance = ?', sys.argv[1:])]"
        )
        rms = f"test ! -e /var/lib/vmatrix/instances/{instance} || virsh -q domstate {instance} || echo absent"
        looks = {
            **{host: ("bash", "-c", rms) for host in self.group("rms")},
            **{host: ("python3", "-c", registry, instance) for host in self.group("vmas")},
        }
        said = self._at_once(*((host, *command) for host, command in looks.items()))
        return {host: words.strip() for host, words in zip(looks, said) if words.strip()}

    def snapshot(self) -> dict[str, str]:
        """Return everything that an operation may change on any device."""
        rms = (
            "virsh -q list --all; ovs-vsctl --columns=name,tag find port; find /var/lib/vmatrix -name '*.qcow2'; "
            f"find /var/lib/vmatrix -type f -printf '%p %s %T@\\n' | {RESTLESS} | sort"
        )
        # Who only looks makes no database where there is none.
        registry = (
            "import sqlite3; registry = sqlite3.connect('file:/var/lib/vmatrix/vma/registry.db?mode=ro', uri=True); "
            "print(*(line for line in registry.iterdump() if not any(table in line[:20] for table in ('leases', 'runs'))), sep=chr(10))"
        )
        gateways = (
            "for ns in $(ip netns list | cut -d' ' -f1 | sort); do echo $ns; ip netns exec $ns nft -s list ruleset; ip -n $ns -br addr; done; "
            f'ip route; ip neigh show proxy; cat /etc/vmatrix/routers/*.json 2>/dev/null; python3 -c "{registry}"; '
            "find /etc/vmatrix/vpn -type f -exec sha256sum {} + | sort"
        )
        select = "select name, type, content from records where type <> 'SOA' order by 1, 2, 3"
        zones = f"import sqlite3; print(*sqlite3.connect('file:/var/lib/powerdns/vmatrix.sqlite3?mode=ro', uri=True).execute('''{select}'''), sep=chr(10))"
        names = f"python3 -c {shlex.quote(zones)}"
        looks = {host: look for group, look in (("rms", rms), ("gateways", gateways), ("dns_servers", names)) for host in self.group(group)}
        return dict(zip(looks, self._at_once(*((host, "bash", "-c", look) for host, look in looks.items()))))

    @staticmethod
    @functools.lru_cache(maxsize=None)
    def group(name: str) -> list[str]:
        """Return the hosts of an inventory group."""
        listing = subprocess.run(
            ["ansible-inventory", "-i", str(LAB / "inventory.yml"), "--list"],
            # An ssh before it may have made the terminal's standard input non-blocking, which Ansible refuses.
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=True,
            cwd=ROOT,
        )
        return json.loads(listing.stdout)[name]["hosts"]


@functools.lru_cache(maxsize=None)
def _sockets() -> str:
    """The directory of the lab's SSH control sockets."""
    return yaml.safe_load((LAB / "inventory.yml").read_text(encoding="utf-8"))["lab"]["vars"]["ansible_control_path_dir"]


def until(condition: t.Callable[[], t.Any], timeout: float, what: str) -> t.Any:
    """Wait on a condition; fail when it has not come true by the deadline (seconds)."""
    end = time.monotonic() + timeout
    while True:
        found = condition()
        if found:
            return found
        assert time.monotonic() < end, f"not within {timeout:g} s: {what}"
        time.sleep(0.1)


SHOP = "shop-1.example.com"
CAPSULE = yaml.safe_load((ROOT / "playbooks" / "vars" / "shop.yml").read_text(encoding="utf-8"))


def machine(name: str, number: int, words: str = "") -> dict[str, t.Any]:
    """Return the variables that import the shop's machine under another name and address, which ends in *number*; its kernel is told further *words*."""
    address, boot = f"192.168.1.{number}/24", CAPSULE["capsule_import_boot"]
    # What comes before is for every such guest.
    options, unused, unused_too = boot["cmdline"].partition("vmx.")
    told = f"{options}vmx.address={address} vmx.gateway=192.168.1.1 vmx.hostname={name} {words}"
    return {
        **CAPSULE,
        "capsule_import_name": name,
        "capsule_import_guest": {"address": address, "gateway": "192.168.1.1", "mac": f"52:54:00:c0:ff:{number}"},
        "capsule_import_boot": {**boot, "cmdline": told.strip()},
    }
