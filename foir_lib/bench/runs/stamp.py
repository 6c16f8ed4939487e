"""What made a result: code, lock, versions, device. Two runs with one key give the same numbers."""

import hashlib
import json
import os
import platform
import subprocess
import time
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import torch

from foir_lib.files import PACKAGE, manifest_root
from foir_lib.models import devices

LIBRARIES = ("torch", "torchvision", "timm", "numpy", "pandas", "faiss-cpu", "pillow")


def stamp(notebook, parameters):
    """The stamp of a run (dict of JSON values) of a notebook with these parameters.

    ``key`` is the sha256 of all that may change the numbers: code and weights of the package, the
    notebook's own code, published numbers, lock, versions, device, parameters, and for parameters
    that name a file or folder its state on disk. The commit is told but not part of the key: a
    commit that changes only words keeps results.
    """
    device = devices.described(parameters.get("device"))
    made_by = {
        "code": _digest(_package() + _code_of(notebook)),
        "lock": _lock(),
        "versions": _versions(),
        "device": device,
        "parameters": parameters,
    }
    touched = {name: _touched(value) for name, value in parameters.items()}
    key = _digest(json.dumps([made_by, touched], sort_keys=True).encode())
    return {
        "key": key,
        "date": time.strftime("%Y-%m-%d %H:%M:%S"),
        **commit(),
        **made_by,
        "seed": parameters.get("seed"),
        "machine": f"{platform.system()} {platform.machine()}, {torch.get_num_threads()} threads",
    }


def commit(root=None):
    """``{"commit": hash or None, "dirty": bool or None}`` of the checkout (None once installed)."""
    root = root or PACKAGE.parent
    try:
        head = _git(root, "rev-parse", "HEAD")
        top = _git(root, "rev-parse", "--show-toplevel")
        if (
            Path(top).resolve() != Path(root).resolve()
        ):  # installed inside someone else's repository
            return {"commit": None, "dirty": None}
        dirty = bool(_git(root, "status", "--porcelain", "--untracked-files=no"))
    except (OSError, subprocess.CalledProcessError):
        return {"commit": None, "dirty": None}
    return {"commit": head, "dirty": dirty}


def _git(root, *arguments):
    done = subprocess.run(
        ["git", "-C", root, *arguments], capture_output=True, text=True, check=True
    )
    return done.stdout.strip()


@cache
def _package():
    """Digest of the package's code and weights and of the published numbers."""
    files = [*PACKAGE.rglob("*.py"), *(PACKAGE / "models" / "mini" / "weights").glob("*.safetensors")]
    published = manifest_root() / "published"
    digests = {p.relative_to(PACKAGE).as_posix(): _digest(p.read_bytes()) for p in files}
    digests |= {f"published/{p.name}": _digest(p.read_bytes()) for p in published.glob("*.csv")}
    return json.dumps(digests, sort_keys=True).encode()


def _code_of(notebook):
    cells = json.loads(Path(notebook).read_text(encoding="utf-8"))["cells"]
    code = ["".join(cell["source"]) for cell in cells if cell["cell_type"] == "code"]
    return json.dumps(code).encode()


def _lock():
    path = PACKAGE.parent / "requirements.lock"
    return _digest(path.read_bytes()) if path.is_file() else None


def _versions():
    found = {"python": platform.python_version()}
    for name in LIBRARIES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            found[name] = None
    return found


def _touched(value):
    """Size and time of the file that ``value`` names, or of a folder's first two levels; or None.

    Several, "path,path" or "NAME=path,NAME=path", are listed one after the other.
    """
    if not isinstance(value, str):
        return None
    if not os.path.exists(value):  # a list of names may be too long for a path
        parts = [part.split("=", 1)[-1].strip() for part in value.split(",")]
        return [entry for part in parts if os.path.exists(part) for entry in _touched(part)] or None
    path = Path(value)
    below = [path, *path.glob("*"), *path.glob("annotations/*")] if path.is_dir() else [path]
    return sorted((str(p), p.stat().st_size, p.stat().st_mtime_ns) for p in below if p.exists())


def _digest(content):
    return hashlib.sha256(content).hexdigest()
