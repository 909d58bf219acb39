"""What the names in a checkpoint stand for: inert records, and the closed table of what may be called.

A pickle is a program, whose only way to act is to import a name and to call it. Here no name is imported:
each becomes a `Named`, a record of its text. A call of one of them runs a function of this file, or makes
an `Inert`, a record with attributes and no behaviour.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, field

from streamseg.weights.checkpoint.refusal import quoted, refuse
from streamseg.weights.checkpoint.storages import DTYPES, StoredTensor, stored_tensor

__all__ = ["Call", "Inert", "Named", "named"]

Call = Callable[[tuple[object, ...]], object]


@dataclass(frozen=True, eq=False)
class Named:
    """A class or function that the checkpoint mentions."""

    name: str
    """With its module, such as `torch.nn.modules.conv.Conv2d`."""
    call: Call | None = None
    """What a call of it gives, if it may be called."""
    is_class: bool = False
    """Whether the pickle may make an object of it."""


@dataclass(eq=False)
class Inert:
    """An object of a class that the checkpoint mentions: attributes, and nothing that runs."""

    kind: str
    """The name of the class, with its module."""
    attributes: dict[str, object] = field(default_factory=dict)

    @property
    def short_kind(self) -> str:
        """The class's name alone."""
        return self.kind.rpartition(".")[2]


def named(module: str, name: str) -> Named:
    """What a name in a checkpoint stands for.

    Raises:
        WeightsError: the name is neither in the table nor a class of a network.
    """
    full = f"{module}.{name}"
    if full in _TABLE:
        return _TABLE[full]
    if "." not in name and _NETWORK_CLASS.fullmatch(full):
        # Also with arguments: that is how a namespace is pickled, and enumerations are.
        return Named(full, call=lambda _: Inert(full), is_class=True)
    if module == "torch" and name in DTYPES:
        return Named(full)
    if module == "torch" and name in _DTYPE_NAMES:
        return Named(full)
    raise refuse(f"the checkpoint asks for {quoted(full)}, which no network needs; nothing was run")


_NETWORK_CLASS = re.compile(
    r"(ultralytics(\.[a-z][a-z0-9_]*){1,5}|torch\.nn\.modules\.[a-z]+|torch\.nn\.parameter)\.[A-Za-z][A-Za-z0-9_]*"
)
"""Their names become records, whichever they are; none is looked up anywhere."""

_DTYPE_NAMES = {str(dtype).removeprefix("torch.") for dtype in DTYPES.values()}


def _ordered_dict(arguments: tuple[object, ...]) -> object:
    _want(arguments == (), "an OrderedDict with contents of another kind than torch writes")
    return {}


def _set(arguments: tuple[object, ...]) -> object:
    _want(len(arguments) == 1 and isinstance(arguments[0], list), "a set that is not made of a list")
    (items,) = arguments
    assert isinstance(items, list)
    # Tuples could be nested so deeply that hashing them overflows the stack.
    _want(all(isinstance(item, str | int | float | None) for item in items), "a set of other things than plain values")
    return frozenset(items)


def _getattr(arguments: tuple[object, ...]) -> object:
    """The old head keeps `Detect.forward`; what comes of it can be kept, but not called."""
    owner, name = arguments if len(arguments) == 2 else (None, None)
    if not isinstance(owner, Named) or not isinstance(name, str) or name not in ("forward", "forward_fuse"):
        raise refuse(f"the checkpoint takes the attribute {quoted(name)} of something; nothing was run")
    _want(owner.name.startswith("ultralytics.nn."), "an attribute of something else than a layer")
    return Inert(f"{owner.name}.{name}")


def _tensor(arguments: tuple[object, ...]) -> object:
    # Then: whether it needs gradients, hooks, and in some files a dict of metadata.
    _want(6 <= len(arguments) <= 7, "a tensor with another number of arguments than torch writes")
    storage, offset, shape, stride = arguments[:4]
    return stored_tensor(storage, offset, shape, stride)


def _parameter(arguments: tuple[object, ...]) -> object:
    _want(len(arguments) == 3 and isinstance(arguments[0], StoredTensor), "a parameter that is no tensor")
    return arguments[0]


def _size(arguments: tuple[object, ...]) -> object:
    _want(len(arguments) == 1 and isinstance(arguments[0], tuple), "a size that is no tuple")
    return arguments[0]


def _record(kind: str) -> Call:
    return lambda _: Inert(kind)


def _want(condition: bool, otherwise: str) -> None:
    if not condition:
        raise refuse(f"the checkpoint has {otherwise}; nothing was run")


_RECORDS = (
    "torch.device",
    # Scores of a training, which are numpy's scalars.
    "numpy.dtype",
    "numpy.core.multiarray.scalar",
    "numpy._core.multiarray.scalar",
    "_codecs.encode",
    "pathlib.PosixPath",
    "pathlib.WindowsPath",
    "pathlib._local.PosixPath",
    "pathlib._local.WindowsPath",
)
"""Kept as records of their name: nothing in a network depends on them."""

_TABLE = {
    entry.name: entry
    for entry in (
        Named("collections.OrderedDict", _ordered_dict),
        Named("__builtin__.set", _set),
        Named("builtins.set", _set),
        Named("__builtin__.getattr", _getattr),
        Named("builtins.getattr", _getattr),
        Named("torch.Size", _size),
        Named("torch._utils._rebuild_tensor_v2", _tensor),
        Named("torch._utils._rebuild_parameter", _parameter),
        *(Named(name, _record(name)) for name in _RECORDS),
    )
}
"""Everything that may be called, classes of networks aside."""
