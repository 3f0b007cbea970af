"""A server on this machine that answers as the Hugging Face hub does, for one data set made of files in a folder."""

from __future__ import annotations

import hashlib
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

COMMIT = "0123456789abcdef0123456789abcdef01234567"
LARGE = 5000  # bytes; the hub keeps larger files by their sha256


@dataclass(kw_only=True)
class Hub:
    """What the server gives, and what it saw.

    Attributes:
        root: the files.
        repo: OWNER/NAME.
        token: asked for, if any.
        cut_after: bytes after which the next answers break off, one for each.
        damaged: names of files that arrive with other bytes.
        asked: (path, Range header) of every request for bytes.
        url: the server's address.
    """

    root: Path
    repo: str
    token: str | None = None
    cut_after: list[int] = field(default_factory=list)
    damaged: set[str] = field(default_factory=set)
    asked: list[tuple[str, str | None]] = field(default_factory=list)
    url: str = ""

    def files(self) -> dict[str, Path]:
        return {str(path.relative_to(self.root)): path for path in sorted(self.root.rglob("*")) if path.is_file()}

    def info(self) -> dict[str, Any]:
        siblings = [{"rfilename": name, **entry(path)} for name, path in self.files().items()]
        return {"id": self.repo, "sha": COMMIT, "siblings": siblings, "private": False, "tags": []}

    def at(self, name: str) -> list[dict[str, Any]]:
        """The file or folder of this name, as the hub lists it."""
        path = self.root / name
        if path.is_dir():
            return [{"type": "directory", "path": name, "oid": 40 * "0", "size": 0}]
        if not path.is_file():
            return []
        found = entry(path)
        lfs = {"lfs": {**found["lfs"], "oid": found["lfs"]["sha256"]}} if "lfs" in found else {}
        return [{"type": "file", "path": name, "oid": found["blobId"], "size": found["size"], **lfs}]

    def tree(self, folder: str, is_recursive: bool) -> list[dict[str, Any]]:
        inside = (self.root / folder).rglob("*") if is_recursive else (self.root / folder).iterdir()
        return [one for path in sorted(inside) for one in self.at(str(path.relative_to(self.root)))]


def entry(path: Path) -> dict[str, Any]:
    content = path.read_bytes()
    git = hashlib.sha1(b"blob %d\0" % len(content) + content, usedforsecurity=False).hexdigest()
    if len(content) < LARGE:
        return {"size": len(content), "blobId": git}
    sha256 = hashlib.sha256(content).hexdigest()
    return {"size": len(content), "blobId": git, "lfs": {"size": len(content), "sha256": sha256, "pointerSize": 130}}


class Handler(BaseHTTPRequestHandler):
    hub: Hub
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        path = unquote(urlsplit(self.path).path)
        repo = self.hub.repo
        if path.startswith("/files/"):  # where the hub's large files are
            self.send_file(path.removeprefix("/files/"))
        elif not path.startswith((f"/api/datasets/{repo}", f"/datasets/{repo}/")):
            self.refuse(404, "RepoNotFound")
        elif self.hub.token and self.headers.get("Authorization") != f"Bearer {self.hub.token}":
            self.refuse(403, "GatedRepo")
        elif "/tree/" in path:
            self.answer_json(
                self.hub.tree(path.partition("/tree/")[2].partition("/")[2], "recursive=true" in self.path.lower())
            )
        elif path.startswith("/api/"):
            if "/revision/" in path and path.rpartition("/")[2] not in ("main", COMMIT):
                self.refuse(404, "RevisionNotFound")
            else:
                self.answer_json(self.hub.info())
        else:
            name = path.partition("/resolve/")[2].partition("/")[2]
            self.answer(302, b"", {"Location": f"{self.hub.url}/files/{name}", "X-Repo-Commit": COMMIT})

    def do_POST(self) -> None:
        """What is at some paths, as `paths-info` says it."""
        asked = parse_qs(self.rfile.read(int(self.headers["Content-Length"])).decode())
        self.answer_json([one for path in asked["paths"] for one in self.hub.at(path)])

    def answer_json(self, content: object) -> None:
        self.answer(200, json.dumps(content).encode(), {"Content-Type": "application/json"})

    def send_file(self, name: str) -> None:
        wanted = self.headers.get("Range")
        self.hub.asked.append((name, wanted))
        content = self.hub.files()[name].read_bytes()
        if name in self.hub.damaged:
            content = content[:-1] + bytes([content[-1] ^ 1])
        first, _, last = (wanted or "bytes=0-").removeprefix("bytes=").partition("-")
        start, part = int(first), content[int(first) : int(last) + 1 if last else None]
        if self.hub.cut_after and name.endswith(".tar"):
            self.send_response(206 if wanted else 200)
            self.send_header("Content-Length", str(len(part)))
            self.end_headers()
            self.wfile.write(part[: self.hub.cut_after.pop(0)])
            self.close_connection = True
            return
        head = {"Content-Range": f"bytes {start}-{start + len(part) - 1}/{len(content)}"} if wanted else {}
        self.answer(206 if wanted else 200, part, head)

    def refuse(self, code: int, kind: str) -> None:
        self.answer(code, b"{}", {"X-Error-Code": kind, "X-Error-Message": f"said by the test: {kind}"})

    def answer(self, code: int, content: bytes, headers: dict[str, str]) -> None:
        self.send_response(code)
        for name, value in {"Content-Length": str(len(content)), **headers}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, format: str, *args: object) -> None:
        pass


@contextmanager
def serving(hub: Hub) -> Iterator[Hub]:
    """The hub, answering at `hub.url` as long as the block lasts."""
    handler = type("HubHandler", (Handler,), {"hub": hub})
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    server.daemon_threads = True
    hub.url = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
    thread.start()
    try:
        yield hub
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
