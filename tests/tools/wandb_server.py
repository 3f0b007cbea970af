"""A stand-in for wandb on loopback: takes what a run sends, and can stop answering or refuse from one moment on."""

from __future__ import annotations

import contextlib
import gc
import gzip
import http.server
import json
import subprocess
import threading
from collections.abc import Callable, Iterator
from typing import Any

KEY = "0123456789abcdef" * 2 + "01234567"


class WandbServer(http.server.ThreadingHTTPServer):
    """Knows the questions a run asks; answers others with an empty object."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.lines: dict[str, list[str]] = {}
        """Lines received by run and file, such as ("abc/wandb-history.jsonl")."""
        self.questions: list[dict[str, Any]] = []
        self.known: dict[str, dict[str, Any]] = {}
        """Runs that exist already, by id."""
        self._silence, self._over = threading.Event(), threading.Event()
        self._is_open = True
        threading.Thread(target=self.serve_forever, daemon=True).start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"

    def environment(self) -> dict[str, str]:
        return {"WANDB_BASE_URL": self.url, "WANDB_API_KEY": KEY}

    def history(self, run: str) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.lines.get(f"{run}/wandb-history.jsonl", [])]

    def be_silent(self) -> None:
        """Take connections and never answer."""
        self._silence.set()

    def refuse(self) -> None:
        """Take no connection, and drop those that are open."""
        if self._is_open:
            self._is_open = False
            self.shutdown()
            self.server_close()
            self._silence.set()
            self._over.set()

    def close(self) -> None:
        self._over.set()
        self.refuse()

    def wait_if_silent(self) -> bool:
        if self._silence.is_set():
            self._over.wait()
            return True
        return False

    def server_close(self) -> None:
        self.socket.close()

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that has gone is no news."""


class _Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: WandbServer

    def do_POST(self) -> None:
        body = self._body()
        if self.server.wait_if_silent():
            self.close_connection = True
            return
        if self.path.endswith("/graphql"):
            question = json.loads(body)
            self.server.questions.append(question)
            self._reply({"data": _answer(self.server, question.get("operationName"), question.get("variables") or {})})
            return
        if self.path.endswith("/file_stream"):
            run = self.path.split("/")[-2]
            for name, sent in (json.loads(body).get("files") or {}).items():
                kept = self.server.lines.setdefault(f"{run}/{name}", [])
                kept[sent["offset"] :] = sent["content"]
        self._reply({})

    def do_PUT(self) -> None:
        self._body()
        if not self.server.wait_if_silent():
            self._reply({})

    def do_GET(self) -> None:
        if not self.server.wait_if_silent():
            self._reply({})

    def _body(self) -> bytes:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        return gzip.decompress(body) if self.headers.get("Content-Encoding") == "gzip" else body

    def _reply(self, answer: dict[str, Any]) -> None:
        content = json.dumps(answer).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, format: str, *args: object) -> None:
        """Say nothing."""


def _answer(server: WandbServer, name: str | None, asked: dict[str, Any]) -> dict[str, Any]:
    project = {"id": "p", "name": asked.get("project") or "p", "entity": {"id": "e", "name": "me"}}
    match name:
        case "Viewer":
            teams: dict[str, Any] = {"edges": []}
            return {"viewer": {"id": "u", "entity": "me", "username": "me", "flags": "{}", "teams": teams}}
        case "RunResumeStatus":
            return {"model": {**project, "bucket": server.known.get(asked["name"])}}
        case "UpsertBucket":
            bucket = {"id": "aWQ=", "name": asked.get("name"), "displayName": asked.get("displayName"), "config": "{}"}
            is_new = asked.get("name") not in server.known and not asked.get("id")
            return {
                "upsertBucket": {"bucket": {**bucket, "historyLineCount": 0, "project": project}, "inserted": is_new}
            }
        case "CreateRunFiles":
            files = [{"name": file, "uploadUrl": f"{server.url}/upload/{file}"} for file in asked["files"]]
            return {"createRunFiles": {"runID": "x", "uploadHeaders": [], "files": files}}
    return {}


def reaping(tear_down: Callable[[], None]) -> Callable[[], None]:
    """`tear_down`, and the wait for wandb's process that it left dead, of which Python would complain."""

    def tear_down_and_wait() -> None:
        every = [each for each in gc.get_objects() if type(each) is subprocess.Popen and each.returncode is None]
        ours = [process for process in every if "wandb-core" in str(process.args)]
        tear_down()
        for process in ours:
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(5)

    return tear_down_and_wait


@contextlib.contextmanager
def wandb_server() -> Iterator[WandbServer]:
    """A server for the length of the block."""
    server = WandbServer()
    try:
        yield server
    finally:
        server.close()
