"""The report over HTTP on this machine only: one page at one address, drawn anew when its runs have written."""

from __future__ import annotations

import http.server
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from swav_dali.errors import ConfigError
from swav_dali.watch.report.page import render
from swav_dali.watch.report.runs import read_run

HOST = "127.0.0.1"
REFRESH_SECONDS = 30
_ADDRESSES = ("/", "/report.html")


class ReportServer(http.server.ThreadingHTTPServer):
    """Serves the page of some runs; it opens no other file, so no address reaches one."""

    daemon_threads = True

    def __init__(self, runs: Sequence[Path], port: int) -> None:
        """Listen on HOST.

        Raises:
            ConfigError: the port is taken or not allowed, or a folder is no run.
        """
        self._runs, self._drawn, self._page = list(runs), 0.0, b""
        self.page()
        try:
            super().__init__((HOST, port), _Handler)
        except (OSError, OverflowError) as error:
            raise ConfigError(
                "cannot listen", where=f"--serve {port}", found=error, fix="choose another port"
            ) from error

    def page(self) -> bytes:
        """The page, at most REFRESH_SECONDS old."""
        if time.monotonic() - self._drawn > REFRESH_SECONDS or not self._page:
            self._page = render([read_run(run) for run in self._runs], refresh_seconds=REFRESH_SECONDS).encode()
            self._drawn = time.monotonic()
        return self._page


class _Handler(http.server.BaseHTTPRequestHandler):
    server: ReportServer

    def do_GET(self) -> None:
        """The page at its addresses, 404 anywhere else, 403 for a page of another site that borrowed our address."""
        if self.headers.get("Host", "").split(":")[0] not in (HOST, "localhost"):
            self.send_error(403)
        elif self.path not in _ADDRESSES:
            self.send_error(404)
        else:
            page = self.server.page()
            self.send_response(200)
            self.send_header("Content-Type", "text/html; charset=utf-8")
            self.send_header("Content-Length", str(len(page)))
            self.end_headers()
            self.wfile.write(page)

    def log_message(self, format: str, *args: object) -> None:
        """Say nothing."""


def serve(runs: Sequence[Path], port: int, say: Callable[[str], None]) -> None:
    """Serve until interrupted."""
    with ReportServer(runs, port) as server:
        say(f"http://{HOST}:{server.server_address[1]}/  (Ctrl-C ends)")
        try:
            server.serve_forever()
        except KeyboardInterrupt:
            say("")
