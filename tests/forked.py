"""Kernels for tests, forked from a process that has the large libraries in memory: imports are most of a short notebook's work.

:func:`path` goes into JUPYTER_PATH: its kernel "python3" is this file, which asks the process to fork and stands for the fork until it
ends. The workbook itself, ipywidgets and tqdm's choice of bars are imported by each kernel anew. tests/bench/runs and the kernels of
batches are started as they always are.
"""

import atexit
import json
import os
import runpy
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from functools import cache
from pathlib import Path

LIBRARIES = """numpy pandas scipy.stats scipy.optimize scipy.ndimage scipy.spatial sklearn.decomposition sklearn.cluster sklearn.metrics cv2 faiss
torch torch._dynamo torchvision.ops timm huggingface_hub safetensors.torch pycocotools.mask matplotlib.pyplot jaxtyping sqlalchemy
ipykernel.kernelapp ipykernel.ipkernel""".split()
ANEW = ("tqdm.auto", "tqdm.autonotebook", "tqdm.notebook", "ipywidgets")  # what they are depends on the kernel that imports them
INLINE = "module://matplotlib_inline.backend_inline"  # as ipykernel has it


@cache
def path() -> str:
    """A folder for JUPYTER_PATH; the process behind it ends with this one."""
    from ipykernel.kernelspec import get_kernel_dict  # takes longer than all else here

    home = Path(tempfile.mkdtemp(prefix="foir-kernels-"))
    place = home / "socket"
    spec = get_kernel_dict() | {"argv": [sys.executable, __file__, str(place), "-f", "{connection_file}"]}
    folder = home / "kernels" / "python3"
    folder.mkdir(parents=True)
    (folder / "kernel.json").write_text(json.dumps(spec))
    process = subprocess.Popen([sys.executable, __file__, "--serve", str(place)], env=os.environ | {"MPLBACKEND": INLINE}, stdin=subprocess.DEVNULL)
    atexit.register(process.kill)
    return str(home)


def serve(place: str, parent: int) -> None:
    """Fork a kernel for each connection until the process ``parent`` has ended."""
    for name in LIBRARIES:
        __import__(name)
    for name in ANEW:
        for module in [one for one in sys.modules if one == name or one.startswith(name + ".")]:
            del sys.modules[module]
    sys.modules["pandas"].set_option("display.max_columns", 20)  # as where a kernel imports it: a terminal's width is no page's
    sys.path[0] = ""
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(place + ".new")
        server.listen(64)
        server.settimeout(1)
        os.rename(place + ".new", place)
        while os.getppid() == parent:
            try:
                connection, _ = server.accept()
            except TimeoutError:
                continue
            connection.setblocking(True)
            if os.fork() == 0:
                server.close()
                become(connection)
            connection.close()


def become(connection: socket.socket) -> None:
    """The kernel that was asked for, in this process: its arguments, environment, folder and streams."""
    head, streams, *_ = socket.recv_fds(connection, 8, 3)
    length, text = int.from_bytes(head, "big"), b""
    while len(text) < length:
        text += connection.recv(length - len(text))
    asked = json.loads(text)
    os.setsid()
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    for stream, number in zip(streams, range(3)):
        os.dup2(stream, number)
        os.close(stream)
    os.environ.clear()
    os.environ.update(asked["environ"])
    os.environ.pop("JPY_PARENT_PID", None)  # its end is seen by the connection
    os.chdir(asked["folder"])
    sys.argv[:] = ["ipykernel_launcher", *asked["arguments"]]
    connection.sendall(os.getpid().to_bytes(8, "big"))
    threading.Thread(target=lambda: connection.recv(1) or os._exit(1), daemon=True).start()
    code = 1
    try:
        runpy.run_module("ipykernel_launcher", run_name="__main__", alter_sys=True)
        code = 0
    except SystemExit as ended:
        code = ended.code if isinstance(ended.code, int) else 0
    finally:
        sys.stdout.flush(), sys.stderr.flush()
        os._exit(code)


def stand_for(place: str, arguments: list[str]) -> None:
    """Be the kernel for whoever started this: signals are handed on, and each ends with the other."""
    while not os.path.exists(place):
        time.sleep(0.02)
    with socket.socket(socket.AF_UNIX) as connection:
        connection.connect(place)
        text = json.dumps({"arguments": arguments, "environ": dict(os.environ), "folder": os.getcwd()}).encode()
        socket.send_fds(connection, [len(text).to_bytes(8, "big")], [0, 1, 2])
        connection.sendall(text)
        kernel = int.from_bytes(connection.recv(8), "big")
        for sign in (signal.SIGINT, signal.SIGTERM):
            signal.signal(sign, lambda sign, _: os.kill(kernel, sign))
        while connection.recv(1):
            pass


if __name__ == "__main__":
    if sys.argv[1] == "--serve":
        serve(sys.argv[2], os.getppid())
    else:
        stand_for(sys.argv[1], sys.argv[2:])
