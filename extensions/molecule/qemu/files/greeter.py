# Copyright: (c) 2026, The vmatrix.mesh founders
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A web server for stand-ins of guests and back-ends: it says who it is (the second argument), and whom it answers."""

from __future__ import annotations

import http.server
import sys


class Greeter(http.server.BaseHTTPRequestHandler):
    """Answers every GET with one line."""

    def do_GET(self) -> None:
        """Answer."""
        line = f"{' '.join(sys.argv[2:]) or 'backend'} answers {self.client_address[0]}\n".encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(line)))
        self.end_headers()
        self.wfile.write(line)


http.server.ThreadingHTTPServer(("", int(sys.argv[1])), Greeter).serve_forever()
