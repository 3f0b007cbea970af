"""Headless Chromium over its debugging pipe: opens a page, says what it asked for and complained of, takes pictures."""

from __future__ import annotations

import base64
import contextlib
import json
import os
import shutil
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

CHROMIUM = shutil.which("chromium")
_OPTIONS = ("--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--remote-debugging-pipe")


class Browser:
    """One browser with one page."""

    def __init__(self, home: Path) -> None:
        ours_in, theirs_out = os.pipe()
        theirs_in, ours_out = os.pipe()
        self._read, self._write, self._rest = ours_in, ours_out, b""

        def wire() -> None:  # the browser reads descriptor 3 and writes descriptor 4
            low, high = os.dup(theirs_in), os.dup(theirs_out)
            os.dup2(low, 3)
            os.dup2(high, 4)

        command = [str(CHROMIUM), *_OPTIONS, f"--user-data-dir={home / 'profile'}", "about:blank"]
        environment = {**os.environ, "HOME": str(home)}
        nowhere = subprocess.DEVNULL
        self.process = subprocess.Popen(
            command, env=environment, preexec_fn=wire, close_fds=False, stdin=nowhere, stdout=nowhere, stderr=nowhere
        )
        os.close(theirs_out)
        os.close(theirs_in)
        self._number = 0
        self.events: list[dict[str, Any]] = []
        self._session: str | None = None
        (page,) = [each for each in self.ask("Target.getTargets")["targetInfos"] if each["type"] == "page"]
        self._session = self.ask("Target.attachToTarget", targetId=page["targetId"], flatten=True)["sessionId"]
        for domain in ("Page", "Runtime", "Network", "Log"):
            self.ask(f"{domain}.enable")

    def ask(self, method: str, **parameters: Any) -> dict[str, Any]:
        self._number += 1
        message = {"id": self._number, "method": method, "params": parameters}
        if self._session:
            message["sessionId"] = self._session
        os.write(self._write, json.dumps(message).encode() + b"\0")
        while True:
            answer = self._next()
            if answer.get("id") == self._number:
                if "error" in answer:
                    raise RuntimeError(f"{method}: {answer['error']}")
                result: dict[str, Any] = answer["result"]
                return result
            self.events.append(answer)

    def look(self, *, width: int, height: int, phone: bool = False, media: str = "", dark: bool = False) -> None:
        scale = 2 if phone else 1
        self.ask(
            "Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=scale, mobile=phone
        )
        features = [{"name": "prefers-color-scheme", "value": "dark" if dark else "light"}]
        self.ask("Emulation.setEmulatedMedia", media=media, features=features)

    def open(self, address: str) -> None:
        self.events.clear()
        self.ask("Page.navigate", url=address)

    def value(self, script: str) -> Any:
        answer = self.ask("Runtime.evaluate", expression=script, returnByValue=True, awaitPromise=True)
        if "exceptionDetails" in answer:
            raise RuntimeError(str(answer["exceptionDetails"])[:500])
        return answer["result"].get("value")

    def wait_for(self, script: str, *, seconds: float = 120) -> Any:
        until = time.monotonic() + seconds
        while not (found := self.value(script)):
            if time.monotonic() > until:
                raise TimeoutError(script)
            time.sleep(0.02)
        return found

    def shot(self, path: Path, *, full: bool = False) -> Path:
        taken = self.ask("Page.captureScreenshot", captureBeyondViewport=full)
        path.write_bytes(base64.b64decode(taken["data"]))
        return path

    def complaints(self) -> list[str]:
        """Errors and warnings of the console, and exceptions."""
        told = []
        for event in self.events:
            about, what = event.get("method"), event.get("params", {})
            if about == "Runtime.consoleAPICalled" and what["type"] in ("error", "warning", "assert"):
                told.append(json.dumps(what["args"]))
            elif about == "Runtime.exceptionThrown":
                told.append(json.dumps(what["exceptionDetails"]))
            elif about == "Log.entryAdded" and what["entry"]["level"] in ("error", "warning"):
                told.append(what["entry"]["text"])
        return told

    def asked(self) -> list[str]:
        """Addresses that the page asked for, without those inside itself."""
        sent = [each["params"] for each in self.events if each.get("method") == "Network.requestWillBeSent"]
        return [each["request"]["url"] for each in sent if not each["request"]["url"].startswith(("data:", "blob:"))]

    def close(self) -> None:
        os.close(self._write)
        os.close(self._read)
        self.process.kill()
        self.process.wait()

    def _next(self) -> dict[str, Any]:
        while b"\0" not in self._rest:
            part = os.read(self._read, 1 << 20)
            if not part:
                raise RuntimeError("the browser has gone")
            self._rest += part
        message, _, self._rest = self._rest.partition(b"\0")
        answer: dict[str, Any] = json.loads(message)
        return answer


@contextlib.contextmanager
def browser(home: Path) -> Iterator[Browser]:
    """A browser for the length of the block."""
    opened = Browser(home)
    try:
        yield opened
    finally:
        opened.close()
