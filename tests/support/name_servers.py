# Copyright: (c) 2026, The vmatrix.mesh founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Real name servers on high ports of the loopback."""

from __future__ import annotations

import http.server
import pathlib
import socket
import sqlite3
import subprocess
import threading
import typing as t

import dns.edns
import dns.flags
import dns.message
import dns.query
import jinja2

from ansible_collections.vmatrix.mesh.plugins.module_utils._core.errors import MeshError
from ansible_collections.vmatrix.mesh.plugins.module_utils._core.wait import wait_for
from ansible_collections.vmatrix.mesh.plugins.module_utils._dns import exchange, keys, server
from ansible_collections.vmatrix.mesh.plugins.module_utils._dns.shapes import Endpoint

ROOT = pathlib.Path(__file__).resolve().parents[2]
SCHEMA = pathlib.Path("/usr/share/pdns-backend-sqlite3/schema/schema.sqlite3.sql")
HOME = "127.0.0.1"


def free_port(address: str = HOME) -> int:
    """Return a port that is free for both UDP and TCP."""
    while True:
        with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as stream, socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as datagram:
            stream.bind((address, 0))
            port = stream.getsockname()[1]
            try:
                datagram.bind((address, port))
            except OSError:
                continue
            return port


def key(directory: pathlib.Path, name: str, algorithm: str = "hmac-sha256") -> keys.Key:
    """Make a key and its file C(NAME.key) in a directory."""
    path = str(directory / f"{name}.key")
    keys.present(path, name, algorithm)
    return keys.read(path)


class Daemon:
    """A name server that runs until it is closed."""

    def __init__(self, directory: pathlib.Path, argv: list[str], port: int) -> None:
        self.directory, self.port = directory, port
        self.endpoint = Endpoint(HOME, port)
        self._log = open(directory / "log", "wb")
        self.process = subprocess.Popen(argv, stdin=subprocess.DEVNULL, stdout=self._log, stderr=self._log, cwd=directory)

    def wait(self, zone: str) -> None:
        """Wait until it answers at all."""

        def answers() -> bool:
            if self.process.poll() is not None:
                raise RuntimeError(f"{self.process.args[0]} ended: {(self.directory / 'log').read_text()[-2000:]}")
            try:
                exchange.ask(self.endpoint, zone, "SOA", timeout=0.6)
            except MeshError:
                return False
            return True

        wait_for(answers, 20, f"{self.process.args[0]} answers")

    def log(self) -> str:
        self._log.flush()
        return (self.directory / "log").read_text()

    def close(self) -> None:
        self.process.terminate()
        try:
            self.process.wait(5)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        self._log.close()


class PowerDns(Daemon):
    """PowerDNS with the configuration of the role dns."""

    API_KEY = "a-test-of-the-api"

    def __init__(self, directory: pathlib.Path) -> None:
        port, self.api_port = free_port(), free_port()
        database = directory / "zones.sqlite3"
        with sqlite3.connect(database) as connection:
            connection.executescript(SCHEMA.read_text())
        connection.close()
        template = (ROOT / "roles" / "dns" / "templates" / "pdns.conf.j2").read_text()
        settings = {"dns_database": database, "dns_listen": [HOME], "dns_port": port, "dns_check_interval": 1, "dns_api_port": self.api_port}
        settings["dns_negative_ttl"] = 5
        rendered = jinja2.Template(template, undefined=jinja2.StrictUndefined).render(ansible_managed="by a test", **settings)
        (directory / "pdns.d").mkdir()
        (directory / "pdns.d" / "vmatrix.conf").write_text(rendered + "\n")
        self.api_file = str(directory / "pdns.d" / "vmatrix-api.conf")
        pathlib.Path(self.api_file).write_text(f"api-key={self.API_KEY}\n")
        # What Debian's own file says.
        (directory / "pdns.conf").write_text(f"include-dir={directory / 'pdns.d'}\nlaunch=\nsecurity-poll-suffix=\n")
        argv = ["pdns_server", f"--config-dir={directory}", f"--socket-dir={directory}"]
        argv += ["--guardian=no", "--daemon=no", "--disable-syslog", "--loglevel=6"]
        super().__init__(directory, argv, port)

    def api(self) -> server.Api:
        tool = ["pdnsutil", f"--config-dir={self.directory}"]
        return server.Api(f"http://127.0.0.1:{self.api_port}", server.api_key(self.api_file), tool=tool)


class Bind(Daemon):
    """BIND 9 with views.

    Args:
        directory: for its files.
        views: for each view in order {keys, prefixes, zones: {zone: key}}; a zone's key may change it.
    """

    def __init__(self, directory: pathlib.Path, views: dict[str, dict[str, t.Any]], all_keys: list[keys.Key]) -> None:
        port = free_port()
        parts = [
            f'options {{ directory "{directory}"; pid-file none; session-keyfile none; lock-file none; listen-on port {port} {{ {HOME}; }};'
            f" listen-on-v6 {{ none; }}; recursion no; allow-query {{ any; }}; allow-transfer {{ none; }}; dnssec-validation no; notify no; }};",
            "controls { };",
            *(f'key "{one.name}" {{ algorithm {one.algorithm}; secret "{one.secret}"; }};' for one in all_keys),
        ]
        for view, settings in views.items():
            mine = {one.name for one in settings["keys"]}
            match = [f"key {name};" for name in sorted(mine)] + [f"!key {one.name};" for one in all_keys if one.name not in mine]
            match += [f"{prefix};" for prefix in settings["prefixes"]]
            zones = []
            for zone, owner in settings["zones"].items():
                path = directory / f"{view}.{zone}"
                path.write_text(f"$TTL 60\n@ SOA ns1.{zone}. hostmaster.{zone}. 1 600 600 600 5\n@ NS ns1.{zone}.\nns1 A {HOME}\n")
                zones.append(f'zone "{zone}" {{ type primary; file "{path}"; allow-update {{ key "{owner.name}"; }}; }};')
            parts.append(f'view "{view}" {{ match-clients {{ {" ".join(match)} }}; {" ".join(zones)} }};')
        (directory / "named.conf").write_text("\n".join(parts) + "\n")
        super().__init__(directory, ["named", "-g", "-n", "1", "-c", str(directory / "named.conf")], port)


def lookup(endpoint: Endpoint, name: str, rdtype: str = "A", source: str | None = None, subnet: str | None = None) -> list[str]:
    """Return the addresses that a client gets: by its own address *source*, or by the prefix *subnet* that its resolver tells."""
    options = [dns.edns.ECSOption.from_text(subnet)] if subnet else None
    query = dns.message.make_query(f"{name}.", rdtype, use_edns=0 if options else None, options=options)
    answer, unused = dns.query.udp_with_fallback(query, endpoint.address, 3, endpoint.port, source=source)
    return sorted(record.address for rrset in answer.answer for record in rrset if record.rdtype == dns.rdatatype.from_text(rdtype))


class Site:
    """An HN as health checks see it: a web server at one address, which can be stopped and started again."""

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.server.paths.append((self.headers["Host"], self.path))
            self.send_response(200)
            self.send_header("Content-Length", "2")
            self.end_headers()
            self.wfile.write(b"ok")

        def log_message(self, *unused: t.Any) -> None:
            pass

    class Server(http.server.ThreadingHTTPServer):
        daemon_threads = True

    def __init__(self, address: str, port: int) -> None:
        self.address, self.port, self.server = address, port, None
        self.paths: list[tuple[str, str]] = []

    def start(self) -> Site:
        family = socket.AF_INET6 if ":" in self.address else socket.AF_INET
        server_class = type("Server", (self.Server,), {"address_family": family})
        self.server = server_class((self.address, self.port), self.Handler)
        self.server.paths = self.paths
        threading.Thread(target=self.server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()
        return self

    def stop(self) -> None:
        if self.server:
            self.server.shutdown()
            self.server.server_close()
            self.server = None
