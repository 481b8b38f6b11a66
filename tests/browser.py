"""A Chromium without a window, told what to do by its own protocol (CDP)."""

import base64
import functools
import http.server
import itertools
import json
import shutil
import subprocess
import tempfile
import threading
import time
from pathlib import Path

NAMES = ("chromium", "chromium-browser", "google-chrome", "chrome")


def program() -> str | None:
    """The path of a Chromium, if there is one."""
    return next(filter(None, map(shutil.which, NAMES)), None)


class Browser:
    """A page of a browser; to be used in a `with`."""

    def __enter__(self):
        from websockets.sync.client import connect

        self._folder = tempfile.TemporaryDirectory(ignore_cleanup_errors=True)
        # Without a sandbox, which a container's root has no right to: it loads our own page alone.
        flags = ["--headless=new", "--no-sandbox", "--disable-gpu", "--remote-debugging-port=0"]
        self._process = subprocess.Popen(
            [program(), *flags, f"--user-data-dir={self._folder.name}", "about:blank"],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        port_file = Path(self._folder.name) / "DevToolsActivePort"
        end = time.monotonic() + 60
        while not (port_file.exists() and len(port_file.read_text().split()) == 2):
            assert time.monotonic() < end and self._process.poll() is None
            time.sleep(0.05)
        port, path = port_file.read_text().split()
        self._connected = connect(f"ws://127.0.0.1:{port}{path}", max_size=None)
        self._socket = self._connected.__enter__()
        self._numbers, self._session = itertools.count(1), None
        (target, *_) = [
            each
            for each in self.command("Target.getTargets")["targetInfos"]
            if each["type"] == "page"
        ]
        attached = self.command("Target.attachToTarget", targetId=target["targetId"], flatten=True)
        self._session = attached["sessionId"]
        return self

    def __exit__(self, *_):
        self._connected.__exit__(None, None, None)
        self._process.terminate()
        self._process.wait(30)
        self._folder.cleanup()

    def command(self, method, **parameters):
        """Send a command of the protocol; return its result."""
        number = next(self._numbers)
        message = {"id": number, "method": method, "params": parameters}
        if self._session:
            message["sessionId"] = self._session
        self._socket.send(json.dumps(message))
        while True:
            received = json.loads(self._socket.recv(60))
            if received.get("id") == number:
                assert "error" not in received, received
                return received["result"]

    def run(self, code):
        """Return what an expression of JavaScript's is, once its promise is kept."""
        done = self.command(
            "Runtime.evaluate", expression=code, awaitPromise=True, returnByValue=True
        )
        assert "exceptionDetails" not in done, done
        return done["result"].get("value")

    def wait(self, code, seconds=60):
        """Wait until an expression holds."""
        end = time.monotonic() + seconds
        while not self.run(code):
            assert time.monotonic() < end, self.run("document.body.innerText")
            time.sleep(0.02)

    def press(self, x, y):
        """Press the mouse's button at a place, and let it go."""
        for kind in ("mousePressed", "mouseReleased"):
            self.command(
                "Input.dispatchMouseEvent", type=kind, x=x, y=y, button="left", clickCount=1
            )

    def screenshot(self, width, height):
        """Return a PNG's bytes."""
        self.command(
            "Emulation.setDeviceMetricsOverride",
            width=width,
            height=height,
            deviceScaleFactor=1,
            mobile=False,
        )
        return base64.b64decode(self.command("Page.captureScreenshot", format="png")["data"])


class Files:
    """A server of a folder's files on a free port; `asked` are the paths that it was asked for."""

    def __init__(self, folder):
        self.asked = asked = []

        class Handler(http.server.SimpleHTTPRequestHandler):
            extensions_map = {  # noqa: RUF012
                **http.server.SimpleHTTPRequestHandler.extensions_map,
                ".mjs": "text/javascript",
            }

            def log_message(self, *_):
                asked.append(self.path)

        handler = functools.partial(Handler, directory=str(folder))
        self._server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}/"

    def __enter__(self):
        threading.Thread(target=self._server.serve_forever, daemon=True).start()
        return self

    def __exit__(self, *_):
        self._server.shutdown()
        self._server.server_close()
