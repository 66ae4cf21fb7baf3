"""A pretended graphics card: a device of torch's that computes on the CPU and is as strict as a real one.

    with card():
        network.to(DEVICE)

What lies on it may not be mixed with what lies on the CPU, nor be handed to numpy; numbers without axes and
indices may come from the CPU, as on a real card. It has no float64, as Apple's. It shows that nothing of an
engine was left behind on the CPU, and that the outcome is the CPU's; of a real card's kernels and rounding it
shows nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_flatten, tree_leaves, tree_map_only, tree_unflatten
from torch.utils.backend_registration import _setup_privateuseone_for_python_backend

DEVICE = "card:0"
ANYWHERE = {"aten::copy_", "aten::index.Tensor", "aten::index_put_", "aten::_index_put_impl_"}
# For good, so this is imported in a process of its own alone: see `test_card`.
_setup_privateuseone_for_python_backend("card")


def _cell(inputs: Tensor, hidden: Tensor, before: Tensor, *biases: Tensor | None) -> tuple[Tensor, ...]:
    """A step of an LSTM as torch has it for cards: what goes out, what is kept, and the gates."""
    gates = inputs + hidden + sum(bias for bias in biases if bias is not None)
    one, two, new, four = gates.chunk(4, 1)
    let_in, kept, new, let_out = one.sigmoid(), two.sigmoid(), new.tanh(), four.sigmoid()
    after = kept * before + let_in * new
    return let_out * after.tanh(), after, torch.cat([let_in, kept, new, let_out], 1)


def _cell_back(
    out: Tensor | None, kept: Tensor | None, before: Tensor, after: Tensor, gates: Tensor, biased: bool
) -> tuple[Tensor, ...]:
    """Gradients of `_cell`: of the gates, of what was kept before, and of the biases."""
    let_in, keep, new, let_out = gates.chunk(4, 1)
    out = torch.zeros_like(after) if out is None else out
    along = out * let_out * (1 - after.tanh() ** 2) + (0 if kept is None else kept)
    of_gates = torch.cat(
        [
            along * new * let_in * (1 - let_in),
            along * before * keep * (1 - keep),
            along * let_in * (1 - new**2),
            out * after.tanh() * let_out * (1 - let_out),
        ],
        1,
    )
    return of_gates, along * keep, of_gates.sum(0) if biased else torch.empty(0)


LOOKS = {"aten::_local_scalar_dense", "aten::item", "aten::is_nonzero", "aten::nonzero", "aten::equal"}
# What torch has for cards alone.
FOR_CARDS = {"aten::_thnn_fused_lstm_cell": _cell, "aten::_thnn_fused_lstm_cell_backward_impl": _cell_back}


class Mixed(RuntimeError):
    """An operation on tensors of the card and of the CPU."""


class Waited(RuntimeError):
    """An operation that waits for the card, where none may."""


class OnCard(Tensor):
    """A tensor that says it lies on the card. What it is lies on the CPU, in `held`."""

    held: Tensor

    @staticmethod
    def __new__(cls, held: Tensor) -> OnCard:
        return Tensor._make_wrapper_subclass(
            cls, held.shape, held.stride(), held.storage_offset(), dtype=held.dtype, device=DEVICE
        )

    def __init__(self, held: Tensor):
        self.held = held

    __torch_function__ = torch._C._disabled_torch_function_impl

    def tolist(self) -> list:
        return self.held.tolist()

    def __repr__(self) -> str:
        return f"on the card: {self.held!r}"

    @classmethod
    def __torch_dispatch__(cls, operation, types, args=(), kwargs=None):
        return computed(operation, args, kwargs or {})


class Card(TorchDispatchMode):
    """Computes all that is done while it is entered, as what makes a tensor on the card has none to go by."""

    def __torch_dispatch__(self, operation, types, args=(), kwargs=None):
        return computed(operation, args, kwargs or {})


class Unwaiting(Card):
    """Refuses to look at what is on the card, as no recorded step may. Raises `Waited`."""

    def __torch_dispatch__(self, operation, types, args=(), kwargs=None):
        given = tree_leaves((args, kwargs or {}))
        fetched = any(isinstance(value, torch.device) and value.type == "cpu" for value in given)
        if any(isinstance(value, OnCard) for value in given) and (fetched or operation.name() in LOOKS):
            raise Waited(f"{operation} waits for the card")
        return super().__torch_dispatch__(operation, types, args, kwargs)


def computed(operation: Callable, args: tuple, kwargs: dict) -> object:
    """What an operation gives, on the card or on the CPU. Raises `Mixed`."""
    given, shape = tree_flatten((args, kwargs))
    there = [value for value in given if isinstance(value, OnCard)]
    here = [value for value in given if isinstance(value, Tensor) and not isinstance(value, OnCard)]
    device = next((value for value in given if isinstance(value, torch.device)), None)
    if (there or str(device) == DEVICE) and any(isinstance(value, torch.Generator) for value in given):
        raise Mixed(f"{operation} on the card, with chance of the CPU")
    if operation.name() == "aten::_has_compatible_shallow_copy_type":
        return bool(there) and not here  # whether a module may swap a parameter's data for the other's
    anywhere = device is not None or operation.name() in ANYWHERE
    if there and not anywhere and any(tensor.dim() for tensor in here):
        raise Mixed(f"{operation} of tensors on the card and on the CPU")
    held = [_on_cpu(value) for value in given]
    args, kwargs = tree_unflatten(held, shape)
    made = FOR_CARDS.get(operation.name(), operation)(*args, **kwargs)
    on_card = bool(there) if device is None else device.type == "card"
    if operation.name() == "aten::copy_":
        return given[0]
    if not on_card:
        return made
    known = {id(value.held): value for value in there}  # what an operation in place gives back
    # As a view is: of what knows gradients, one that does, in inference mode too.
    with torch.inference_mode(torch.is_inference_mode_enabled() and all(one.is_inference() for one in there)):
        return tree_map_only(
            Tensor, lambda tensor: known[id(tensor)] if id(tensor) in known else _put(tensor), made
        )


def _put(tensor: Tensor) -> OnCard:
    if tensor.dtype in (torch.float64, torch.complex128) and tensor.dim():
        raise TypeError("The card has no float64.")
    # Marks that numbers are to be read as conjugate or negative are not a wrapper's own.
    return OnCard(tensor.resolve_conj().resolve_neg())


def _on_cpu(value: object) -> object:
    if isinstance(value, torch.device):
        return torch.device("cpu")
    return value.held if isinstance(value, OnCard) else value


@contextmanager
def card() -> Iterator[None]:
    """The card is there."""
    lifted = torch._C._only_lift_cpu_tensors()
    torch._C._set_only_lift_cpu_tensors(True)  # so that torch.tensor(…, device=…) comes by here
    try:
        with Card(), torch.autograd.set_multithreading_enabled(False):  # no thread of it for this device
            yield
    finally:
        torch._C._set_only_lift_cpu_tensors(lifted)
