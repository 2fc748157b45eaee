# Copyright: (c) 2026, The vmatrix.mesh founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import concurrent.futures
import json
import os
import time

import pytest

from ansible_collections.vmatrix.mesh.plugins.module_utils._core.errors import CommandFailed, InvalidInput, Refused
from ansible_collections.vmatrix.mesh.plugins.module_utils._hypervisor import accelerator
from ansible_collections.vmatrix.mesh.plugins.module_utils._hypervisor.places import Places

PANIC = 'echo "Linux version 6.1"\necho "Kernel panic - not syncing: VFS: Unable to mount root fs"\n'


@pytest.fixture
def probing(tmp_path, monkeypatch):
    """Return a function that probes with a QEMU that is a script; its runs are counted in the file runs."""
    kernel, emulator = tmp_path / "vmlinuz", tmp_path / "qemu"
    kernel.write_bytes(b"kernel")
    monkeypatch.setattr(accelerator, "DEVICE", os.devnull)
    monkeypatch.setattr(accelerator, "EMULATOR", str(emulator))

    def probe(script=None, timeout=10.0):
        if script is not None:
            emulator.write_text(f'#!/bin/sh\necho $$ >> {tmp_path}/runs\necho "$@" > {tmp_path}/argv\n{script}')
            emulator.chmod(0o755)
        return accelerator.probe(Places(str(tmp_path)), str(kernel), timeout)

    probe.path = tmp_path
    probe.runs = lambda: (tmp_path / "runs").read_text().split() if (tmp_path / "runs").exists() else []
    return probe


def test_a_kernel_that_comes_up_proves_kvm(probing):
    assert probing(PANIC + "exec sleep 600") == "kvm"
    assert "-accel kvm" in (probing.path / "argv").read_text() and "console=ttyS0 panic=-1" in (probing.path / "argv").read_text()
    assert not os.path.exists(f"/proc/{probing.runs()[0]}")


@pytest.mark.parametrize("script", ["echo Probing EDD; exec sleep 600", "exec sleep 600"])
def test_a_kernel_that_hangs_does_not(probing, script):
    began = time.monotonic()
    assert probing(script, timeout=0.3) == "tcg"
    assert time.monotonic() - began < 5
    assert not os.path.exists(f"/proc/{probing.runs()[0]}")


def test_one_that_burns_a_processor_in_silence_is_not_waited_for(probing, monkeypatch):
    monkeypatch.setattr(accelerator, "SILENCE", 0.1)
    began = time.monotonic()
    assert probing("while :; do :; done", timeout=60) == "tcg"
    assert time.monotonic() - began < 30
    assert not os.path.exists(f"/proc/{probing.runs()[0]}")


def test_one_that_works_hard_and_says_so_is_waited_for(probing, monkeypatch):
    monkeypatch.setattr(accelerator, "SILENCE", 0.1)
    assert probing(f"echo Linux version; n=0; while [ $n -lt 300000 ]; do n=$((n+1)); done; {PANIC}exec sleep 600", timeout=60) == "kvm"


@pytest.mark.parametrize("script", ["exit 1", "echo no kvm >&2; exit 1", "echo Linux version; exit 0"])
def test_a_qemu_that_exits_before_does_not(probing, script):
    assert probing(script) == "tcg"


def test_words_are_found_across_pieces(probing):
    assert probing("printf 'Kernel pa'; sleep 0.1; printf 'nic - not syncing'; exec sleep 600") == "kvm"


def test_a_flood_of_other_words_does_not_outlast_the_deadline(probing):
    assert probing("exec yes nonsense", timeout=0.3) == "tcg"


def test_the_finding_is_kept_until_qemu_or_the_kernel_change(probing):
    assert probing("exit 1") == "tcg"
    assert probing() == "tcg" and len(probing.runs()) == 1
    assert accelerator.usable(Places(str(probing.path))) == "tcg"
    (probing.path / "vmlinuz").write_bytes(b"another kernel")
    assert probing() == "tcg" and len(probing.runs()) == 2
    assert probing(PANIC + "#") == "kvm" and len(probing.runs()) == 3
    assert accelerator.usable(Places(str(probing.path))) == "kvm"


def another_host(probing):
    """Have the finding be of a host with another kernel."""
    cache = probing.path / "accelerator.json"
    cache.write_text(json.dumps({**json.loads(cache.read_text()), "host": {"qemu": [], "release": "0"}}))
    return Places(str(probing.path))


def test_a_finding_under_another_kernel_or_qemu_is_made_anew_when_something_starts(probing):
    probing("exit 1")
    places = another_host(probing)
    assert accelerator.usable(places) == "tcg" and len(probing.runs()) == 2
    (probing.path / "qemu").write_text(f"#!/bin/sh\necho $$ >> {probing.path}/runs\n{PANIC}exec sleep 600")
    assert accelerator.usable(places) == accelerator.usable(places) == "kvm" and len(probing.runs()) == 3


def test_it_takes_no_longer_than_was_allowed_at_first(probing):
    probing("exec sleep 600", timeout=0.3)
    places, began = another_host(probing), time.monotonic()
    assert accelerator.usable(places) == "tcg" and len(probing.runs()) == 2
    assert time.monotonic() - began < 5


def test_all_who_start_something_wait_for_one_boot(probing):
    probing(f"sleep 0.3; {PANIC}exec sleep 600")
    places = another_host(probing)
    with concurrent.futures.ThreadPoolExecutor(4) as pool:
        assert [each.result() for each in [pool.submit(accelerator.usable, places) for _number in range(4)]] == ["kvm"] * 4
    assert len(probing.runs()) == 2


def test_what_cannot_be_found_out_is_refused(probing):
    with pytest.raises(Refused, match="rm_info"):
        accelerator.usable(Places(str(probing.path)))
    probing("exit 1")
    places = another_host(probing)
    (probing.path / "vmlinuz").unlink()
    with pytest.raises(Refused, match=r"/vmlinuz, with which .* is gone: run site"):
        accelerator.usable(places)


def test_without_the_device_file_nothing_is_probed(probing, monkeypatch):
    monkeypatch.setattr(accelerator, "DEVICE", "/nonexistent/kvm")
    assert probing("exit 1") == accelerator.usable(Places(str(probing.path))) == "tcg"
    assert probing.runs() == []


def test_a_missing_kernel_or_qemu_is_told(probing):
    with pytest.raises(CommandFailed, match="not installed"):
        probing()
    (probing.path / "vmlinuz").unlink()
    with pytest.raises(InvalidInput, match="no kernel"):
        probing()
