# Copyright: (c) 2026, The vmatrix.mesh founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What the primary name server answers a client of the lab, all along: each change, and whether what is answered then serves."""

from __future__ import annotations

import dataclasses
import json
import shlex
import subprocess
import tempfile

from mesh_lab import LAB, until

SERVER = "198.18.0.4"
#: Runs on the client until its standard input ends; prints a line for each change.
SCRIPT = """
import json, sys, threading, time, urllib.request
import dns.message, dns.query
ended = threading.Event()
threading.Thread(target=lambda: (sys.stdin.read(), ended.set()), daemon=True).start()
before = None
while not ended.wait(0.02):
    began = time.time()
    answer = dns.query.udp(dns.message.make_query(sys.argv[2], "A"), sys.argv[1], 3)
    found = sorted(record.address for rrset in answer.answer for record in rrset if rrset.rdtype == 1)
    if found != before:
        before, served = found, False
        if found:
            try:
                with urllib.request.urlopen(f"http://{found[0]}/cgi-bin/page", timeout=5) as page:
                    served = page.status == 200
            except OSError:
                pass
        print(json.dumps([began, found, served]), flush=True)
"""


@dataclasses.dataclass
class Answer:
    """From when (wall clock) which addresses were answered, and whether the first of them served a request at once."""

    since: float
    addresses: list[str]
    served: bool


class Watch:
    """Asks for a name all the time, from now until end() is called."""

    def __init__(self, name: str, client: str = "client-east") -> None:
        argv = ["ssh", "-F", str(LAB / "ssh_config"), client, shlex.join(["python3", "-c", SCRIPT, SERVER, name])]
        self._said = tempfile.NamedTemporaryFile("r")
        self._process = subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=self._said.file)

    def end(self, last: list[str]) -> list[Answer]:
        """Return all answers, each once as long as it lasted, when the last one is as it must be: the server may repeat an older one for a second."""
        until(lambda: any(answer.addresses == last for answer in self._answers()[-1:]), 3, f"the answer is {last}")
        self._process.communicate(timeout=30)
        seen = self._answers()
        self._said.close()
        return seen

    def _answers(self) -> list[Answer]:
        self._said.seek(0)
        return [Answer(*json.loads(line)) for line in self._said if line.endswith("\n")]
