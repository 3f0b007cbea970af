"""A bucket on loopback whose bytes come as slowly as is asked: what DALI reads shards from over the network."""

from __future__ import annotations

import contextlib
import http.server
import os
import re
import time
from collections.abc import Iterator
from email.utils import formatdate
from pathlib import Path
from typing import ClassVar

BUCKET = "pets"
_PIECE = 16_384


class _Handler(http.server.BaseHTTPRequestHandler):
    """HEAD and GET of s3://pets/NAME, with ranges, unsigned; MB/s by a file that may change at any time."""

    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    wbufsize = 65_536
    timeout = 60
    folder: ClassVar[Path]
    speed: ClassVar[Path]

    def do_HEAD(self) -> None:
        self._answer(with_body=False)

    def do_GET(self) -> None:
        self._answer(with_body=True)

    def log_message(self, format: str, *args: object) -> None:
        pass

    def _answer(self, *, with_body: bool) -> None:
        path = self.folder / Path(self.path.split("?")[0]).name
        size = path.stat().st_size
        asked = re.fullmatch(r"bytes=(\d+)-(\d*)", self.headers.get("Range", ""))
        first, last = (int(asked[1]), int(asked[2] or size - 1)) if asked else (0, size - 1)
        last = min(last, size - 1)
        self.send_response(206 if asked else 200)
        if asked:
            self.send_header("Content-Range", f"bytes {first}-{last}/{size}")
        self.send_header("Content-Length", str(last - first + 1))
        self.send_header("Last-Modified", formatdate(path.stat().st_mtime, usegmt=True))
        self.send_header("ETag", '"0"')
        self.end_headers()
        if with_body:
            with contextlib.suppress(ConnectionError):  # the reader has ended
                self._send(path, first, last + 1)

    def _send(self, path: Path, first: int, end: int) -> None:
        with path.open("rb") as file:
            file.seek(first)
            while first < end:
                piece = file.read(min(_PIECE, end - first))
                self.wfile.write(piece)
                first += len(piece)
                speed = float(self.speed.read_text())
                if speed:
                    time.sleep(len(piece) / 1e6 / speed)


@contextlib.contextmanager
def slow_bucket(folder: Path, speed: Path) -> Iterator[dict[str, str]]:
    """Serve the files of `folder` at as many MB/s a connection as the file `speed` says, 0 for no limit.

    Yields the environment with which DALI finds the bucket.
    """
    handler = type("Handler", (_Handler,), {"folder": folder, "speed": speed})
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
    pid = os.fork()  # a process of its own: the trial forks, and must have one thread
    if pid == 0:
        server.handle_error = lambda *_: None  # type: ignore[method-assign]  # a reader that was killed
        server.serve_forever()
        os._exit(0)
    server.socket.close()
    try:
        yield {
            "AWS_ACCESS_KEY_ID": "x",
            "AWS_SECRET_ACCESS_KEY": "x",
            "AWS_REGION": "us-east-1",
            "AWS_EC2_METADATA_DISABLED": "true",
            "AWS_ENDPOINT_URL": f"http://127.0.0.1:{server.server_port}",
        }
    finally:
        os.kill(pid, 9)
        os.waitpid(pid, 0)
