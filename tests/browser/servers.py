"""A browser where there is one, Jupyter servers as a person starts them, and the kernels behind their pages."""

import ast
import json
import os
import re
import secrets
import shutil
import signal
import socket
import subprocess
import time
import urllib.error
import urllib.request
from contextlib import contextmanager
from pathlib import Path

import forked
import pytest
from jupyter_client import BlockingKernelClient

START, RUN = 600, 900  # seconds: a server is up, a notebook has run
OWN = (
    "JUPYTER_CONFIG_DIR",
    "JUPYTER_DATA_DIR",
    "JUPYTER_RUNTIME_DIR",
    "JUPYTERLAB_SETTINGS_DIR",
    "JUPYTERLAB_WORKSPACES_DIR",
    "IPYTHONDIR",
)


def missing(reason):
    """Skip with the reason; fail where a browser was promised."""
    (pytest.fail if os.environ.get("CI") and os.environ.get("FOIR_BROWSER") == "1" else pytest.skip)(reason)


def chromium():
    names = [os.environ.get("FOIR_CHROMIUM"), "chromium", "chromium-browser", "google-chrome"]
    return next((path for name in names if name and (path := shutil.which(name))), None)


@contextmanager
def running(command, home, forks=True):
    """A server with its settings in ``home`` until the block ends; PORT and TOKEN in the command are filled in. ``forks``: of :mod:`forked` are its kernels."""
    port, token = free_port(), secrets.token_hex(16)
    command = [word.replace("PORT", str(port)).replace("TOKEN", token) for word in command]
    environ = os.environ | {name: str(home / name.lower()) for name in OWN} | {"TMPDIR": str(home)}
    environ |= {"JUPYTER_PATH": forked.path()} if forks else {}
    quiet = home / "jupyterlab_settings_dir" / "@jupyterlab" / "apputils-extension" / "notification.jupyterlab-settings"
    quiet.parent.mkdir(parents=True)
    quiet.write_text(json.dumps({"fetchNews": "false", "checkForUpdates": False}))
    log = home / "log"
    with log.open("wb") as out:
        process = subprocess.Popen(
            command, env=environ, stdout=out, stderr=out, stdin=subprocess.DEVNULL, start_new_session=True
        )
    try:
        server = Server(f"http://127.0.0.1:{port}", token, home)
        until(
            lambda: process.poll() is not None or server.answers(),
            START,
            f"{command[:3]} doesn't answer: {log.read_text()[-2000:]}",
        )
        assert process.poll() is None, log.read_text()[-3000:]
        yield server
    finally:
        end(process)


def end(process):
    """End a process and all of its group."""
    for sign in (signal.SIGTERM, signal.SIGKILL):
        try:
            os.killpg(process.pid, sign)
            process.wait(20)
        except (ProcessLookupError, subprocess.TimeoutExpired):
            continue


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


def until(condition, seconds, message):
    """The first true value of ``condition()``; AssertionError with the message after ``seconds``."""
    end = time.monotonic() + seconds
    while not (value := condition()):
        assert time.monotonic() < end, message() if callable(message) else message
        time.sleep(0.05)
    return value


class Server:
    """A running server: what is asked of it, and its notebooks in a browser."""

    def __init__(self, url, token, home):
        self.url, self.token, self.home, self.kernels = url, token, home, []

    def ask(self, path, method="GET", body=None, token=True, host=None):
        """(status, text) of one request; redirects are followed. ``host``: by which name the server is called."""
        head = {"Authorization": f"token {self.token}"} if token else {}
        head |= {"Host": host} if host else {}
        data = None if body is None else json.dumps(body).encode()
        try:
            request = urllib.request.Request(
                self.url + path, data, head | {"Content-Type": "application/json"}, method=method
            )
            with urllib.request.urlopen(request, timeout=30) as answer:
                return answer.status, answer.read().decode(errors="replace")
        except urllib.error.HTTPError as refused:
            return refused.code, refused.read().decode(errors="replace")

    def answers(self):
        try:
            return self.ask("/login", token=False)[0] < 500
        except OSError:
            return False

    def stop(self):
        """End the kernels of all pages that were opened."""
        for kernel in self.kernels:
            kernel.client.stop_channels()
            self.ask(f"/api/kernels/{kernel.id}", "DELETE")
        self.kernels = []

    def _kernel(self, kernel_id):
        self.kernels.append(Kernel(self.home, kernel_id))
        return self.kernels[-1]

    def open_in_lab(self, page, name, theme="light"):
        """A notebook in JupyterLab, all cells run; returns its kernel."""
        return self._open(page, f"/lab/workspaces/{Path(name).stem}/tree/{name}", name, theme)

    def open_in_notebook(self, page, name, theme="light"):
        """The same in Notebook 7."""
        return self._open(page, f"/notebooks/{name}", name, theme)

    def _open(self, page, path, name, theme):
        settings = {"raw": json.dumps({"theme": f"JupyterLab {theme.title()}", "adaptive-theme": False})}
        assert self.ask("/lab/api/settings/@jupyterlab/apputils-extension:themes", "PUT", settings)[0] == 204
        page.goto(f"{self.url}{path}?token={self.token}")
        page.locator(".jp-Notebook .jp-Cell").first.wait_for()
        run_all(page)
        sessions = [s for s in json.loads(self.ask("/api/sessions")[1]) if s["path"] == name]
        return self._kernel(sessions[0]["kernel"]["id"])

    def open_in_voila(self, page, name="", theme="light"):
        """A notebook as Voila's page; returns its kernel."""
        path = f"/voila/render/{name}" if name else "/"
        page.goto(f"{self.url}{path}?token={self.token}&theme={theme}", timeout=1000 * RUN)
        page.locator("#rendered_cells").wait_for(timeout=1000 * RUN)
        return self._kernel(json.loads(page.locator("#jupyter-config-data").text_content())["kernelId"])


KERNEL = "jupyterapp.shell.currentWidget?.sessionContext?.session?.kernel"


def picture(page, name):
    """Keep a picture of the page, when pictures are wanted."""
    if folder := os.environ.get("FOIR_SCREENSHOTS"):
        Path(folder).mkdir(parents=True, exist_ok=True)
        page.screenshot(path=Path(folder) / (re.sub(r"[^\w.-]+", "_", name) + ".png"))


def run_all(page):
    """Run > Run All Cells, and wait until all have run."""
    page.wait_for_function(f"{KERNEL}?.connectionStatus === 'connected' && {KERNEL}.status === 'idle'")
    page.evaluate(f"{KERNEL}.requestKernelInfo()")  # what is run before the kernel answers is lost
    page.evaluate("jupyterapp.commands.execute('notebook:run-all-cells').then(() => null)")
    wrong = page.locator("[data-mime-type$='.error'], [data-mime-type$='.stderr']")
    assert not wrong.count(), wrong.first.inner_text()


class Kernel:
    """A second client of the page's kernel."""

    def __init__(self, home, kernel_id):
        file = until(
            lambda: next(Path(home).rglob(f"kernel-{kernel_id}.json"), None),
            10,
            f"no connection file of kernel {kernel_id}",
        )
        self.id, self.client = kernel_id, BlockingKernelClient(connection_file=str(file))
        self.client.load_connection_file()
        self.client.start_channels()

    def run(self, code, **expressions):
        """Run code, then evaluate expressions (JSON values) in the kernel's main namespace."""
        wanted = {name: f"__import__('json').dumps({text})" for name, text in expressions.items()}
        sent = self.client.execute(code, store_history=False, user_expressions=wanted)
        while (reply := self.client.get_shell_msg(timeout=RUN))["parent_header"].get("msg_id") != sent:
            pass
        assert reply["content"]["status"] == "ok", "\n".join(reply["content"].get("traceback", []))
        values = reply["content"]["user_expressions"]
        assert all(v["status"] == "ok" for v in values.values()), values
        return {name: json.loads(ast.literal_eval(v["data"]["text/plain"])) for name, v in values.items()}

    def value(self, expression):
        """One JSON value."""
        return self.run("", value=expression)["value"]

    def until(self, expression, seconds=RUN):
        """The expression's value in the kernel once it is true."""
        return until(lambda: self.value(expression), seconds, f"never true in the kernel: {expression}")
