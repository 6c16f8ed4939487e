"""A "cuda" for machines that have none: tensors with a shape, a type and a device, but no values (torch's FakeTensorMode).

Every operation goes through torch's own device checks, so a tensor left on the CPU is an error as it is on a GPU.
"""

import torch
from torch._subclasses.fake_tensor import FakeTensor, FakeTensorMode

aten = torch.ops.aten
INDEXING = (aten.index.Tensor, aten.index_put.default, aten.index_put_.default)
MISMATCH = "Expected all tensors to be on the same device"


class FakeCuda(FakeTensorMode):
    """``answers``: what the program reads back from the device, in order: values, and sizes that depend on values."""

    def __init__(self):
        super().__init__(allow_non_fake_inputs=False)
        self.answers, self.cache_enabled = [], False  # a cache would answer instead

    def dispatch(self, func, types, args=(), kwargs=None):
        if func in INDEXING and args[0].device.type == "cpu":  # the one check that FakeTensorMode leaves out
            if any(index is not None and index.device.type != "cpu" for index in args[1]):
                raise RuntimeError(f"{MISMATCH}: an index on a GPU into a tensor on the CPU")
        if not self.answers or func not in (
            aten._local_scalar_dense.default, aten.equal.default, aten.nonzero.default, aten._unique2.default
        ):  # fmt: skip
            return super().dispatch(func, types, args, kwargs)
        if func is aten.equal.default:
            super().dispatch(aten.eq.Tensor, types, args, kwargs)
        answer, x = self.answers.pop(0), args[0]
        if func is aten.nonzero.default:
            return self._empty(x, [answer, x.ndim], torch.long)
        if func is aten._unique2.default:
            return self._empty(x, [answer]), self._empty(x, x.shape, torch.long), self._empty(x, [answer], torch.long)
        return answer

    def _empty(self, x, shape, dtype=None):
        return super().dispatch(aten.new_empty.default, (), (x, list(shape)), {"dtype": dtype or x.dtype})

    def moved(self, module: torch.nn.Module) -> torch.nn.Module:
        """``module`` with its parameters and buffers on the device."""
        for part in module.modules():
            for tensors in (part._parameters, part._buffers):
                for name, tensor in tensors.items():
                    if tensor is not None:
                        fake = self.from_tensor(tensor.detach())
                        with self:
                            fake = fake.to("cuda")
                        tensors[name] = torch.nn.Parameter(fake) if tensors is part._parameters else fake
        return module


def devices(result) -> set[str]:
    """The devices on which the tensors of a result lie."""
    if isinstance(result, FakeTensor):
        return {result.device.type}
    parts = vars(result).values() if hasattr(result, "__dict__") else result if isinstance(result, (list, tuple)) else ()
    return set().union(*map(devices, parts))
