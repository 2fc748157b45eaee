# Copyright: (c) 2026, The vmatrix.mesh founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A client's ear: when did which address answer? It looks from outside, many times a second."""

from __future__ import annotations

import pathlib
import shlex
import subprocess
import threading
import time
import typing as t

from mesh_lab import LAB

#: Runs on the client: one thread per URL asks all the time and prints when an answer had come; a line is one write, for two may come at once.
EAR = """
import os, sys, threading, time, urllib.request
def ask(url):
    while True:
        try:
            with urllib.request.urlopen(url, timeout=float(sys.argv[1])) as answer:
                answer.read()
            os.write(1, f"{time.time()} {url}\\n".encode())
        except OSError:
            pass
        time.sleep(0.005)
for url in sys.argv[2:]:
    threading.Thread(target=ask, args=(url,), daemon=True).start()
sys.stdin.read()
"""


class Listener:
    """Asks some addresses from a client until it is closed; all hosts of the lab share one clock. *patience*: seconds for each answer; *lab*: whose client."""

    def __init__(self, *addresses: str, client: str = "client-east", path: str = "/cgi-bin/page", patience: float = 0.25, lab: pathlib.Path = LAB) -> None:
        urls = [f"http://{each}{path}" for each in addresses]
        argv = ["ssh", "-F", str(lab / "ssh_config"), client, shlex.join(["python3", "-u", "-c", EAR, str(patience), *urls])]
        self.answers: list[float] = []
        self._process = subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self) -> None:
        for line in self._process.stdout or ():
            self.answers.append(float(line.split()[0]))

    def __enter__(self) -> Listener:
        return self

    def __exit__(self, *unused: t.Any) -> None:
        self._process.stdin.close()
        self._process.wait(10)
        self._reader.join(10)

    def first_after(self, moment: float, timeout: float = 60) -> float:
        """Seconds from *moment* to the first answer after it."""
        end = time.monotonic() + timeout
        while time.monotonic() < end:
            for answer in self.answers:
                if answer > moment:
                    return answer - moment
            time.sleep(0.005)
        raise AssertionError(f"no answer within {timeout:g} s")

    def longest_gap(self, since: float) -> float:
        """The longest time without an answer, in seconds, among the answers after *since*."""
        heard = sorted(answer for answer in self.answers if answer >= since)
        return max(later - earlier for earlier, later in zip(heard, heard[1:]))
