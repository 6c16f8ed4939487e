"""What computes, carried to another process and to another device, as bytes."""

import io
import logging
import multiprocessing
import os
import pickle
import signal
import sys
import types
from collections.abc import Iterator
from contextlib import contextmanager
from multiprocessing.connection import wait
from threading import Lock, Thread

import cloudpickle
import torch

log = logging.getLogger(__name__)
_device: list[torch.device] = []  # where what is unpacked here lies
_lock = Lock()


class _Packer(cloudpickle.Pickler):
    """Tensors on a GPU, and its name, become those of the device where they are unpacked."""

    def reducer_override(self, obj):
        if isinstance(obj, torch.device) and obj.type != "cpu":
            return _here, ()
        if isinstance(obj, torch.Tensor) and obj.device.type != "cpu":
            return _tensor_here, (obj.detach().cpu(), isinstance(obj, torch.nn.Parameter), obj.requires_grad)
        return super().reducer_override(obj)


def packed(thing) -> bytes:
    """Anything with its code where another process can't import it: functions inside functions, definitions of a notebook."""
    plugins = [module for name, module in sys.modules.items() if name.startswith("foir_plugin_")]
    for module in plugins:
        cloudpickle.register_pickle_by_value(module)
    try:
        file = io.BytesIO()
        _Packer(file).dump(thing)
        return file.getvalue()
    finally:
        for module in plugins:
            cloudpickle.unregister_pickle_by_value(module)


def packed_or_none(thing) -> bytes | None:
    """:func:`packed`, or None, with a word in the log, for what can't be carried: open files, locks."""
    try:
        return packed(thing)
    except (TypeError, AttributeError, pickle.PicklingError, RuntimeError) as error:
        log.warning("This process computes alone, since what it computes with can't be handed to others (%s).", error)
        return None


def unpacked(content: bytes, device: str):
    """What :func:`packed` made, in a process that this one started, on ``device``."""
    _device[:] = [torch.device(device)]
    return pickle.loads(content)


def attend() -> None:
    """In a process that another one started: Ctrl-C is left to that one, and when it is gone, so is this."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)

    def watch():
        wait([multiprocessing.parent_process().sentinel])
        os._exit(1)

    Thread(target=watch, daemon=True).start()


def _here():
    return _device[0]


def _tensor_here(tensor, parameter, gradient):
    tensor = tensor.to(_device[0])
    return torch.nn.Parameter(tensor, gradient) if parameter else tensor.requires_grad_(gradient)


@contextmanager
def without_main() -> Iterator[None]:
    """Processes started inside don't run this program's own file again: a script needs no ``if __name__ == "__main__"``."""
    with _lock:
        main = sys.modules["__main__"]
        sys.modules["__main__"] = types.ModuleType("__main__")
        try:
            yield
        finally:
            sys.modules["__main__"] = main
