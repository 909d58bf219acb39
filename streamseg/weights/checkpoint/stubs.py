"""Stand-ins for the classes and functions that a checkpoint refers to, and the closed table of permitted calls.

A pickle is a program that acts by importing names and calling them. Here, no name is imported: each becomes a `Global`,
a record of the name. Calling it runs a function of this module, or creates a `Stub`, a record with attributes and
without behaviour.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, field

from streamseg.weights.checkpoint.errors import checkpoint_error, quoted
from streamseg.weights.checkpoint.storages import DTYPES, StoredTensor, stored_tensor

__all__ = ["Call", "Global", "Stub", "find_global"]

Call = Callable[[tuple[object, ...]], object]


@dataclass(frozen=True, eq=False)
class Global:
    """A class or function that the checkpoint refers to."""

    name: str
    """Qualified name, such as `torch.nn.modules.conv.Conv2d`."""
    call: Call | None = None
    """Function that replaces a call; None if calls are not permitted."""
    is_class: bool = False
    """Whether the pickle may instantiate it."""


@dataclass(eq=False)
class Stub:
    """An object of a class that the checkpoint refers to, with attributes only."""

    kind: str
    """Qualified name of the class."""
    attributes: dict[str, object] = field(default_factory=dict)

    @property
    def short_kind(self) -> str:
        """Name of the class without its module."""
        return self.kind.rpartition(".")[2]


def find_global(module: str, name: str) -> Global:
    """Return the stand-in for a name in a checkpoint.

    Raises:
        WeightsError: the name is neither in the table nor a class of a network.
    """
    full = f"{module}.{name}"
    if full in _TABLE:
        return _TABLE[full]
    if "." not in name and _NETWORK_CLASS.fullmatch(full):
        # Calls may have arguments: namespaces and enumerations are pickled that way.
        return Global(full, call=lambda _: Stub(full), is_class=True)
    if module == "torch" and name in DTYPES:
        return Global(full)
    if module == "torch" and name in _DTYPE_NAMES:
        return Global(full)
    raise checkpoint_error(f"the checkpoint refers to {quoted(full)}, which no network needs; nothing was executed")


_NETWORK_CLASS = re.compile(
    r"(ultralytics(\.[a-z][a-z0-9_]*){1,5}|torch\.nn\.modules\.[a-z]+|torch\.nn\.parameter)\.[A-Za-z][A-Za-z0-9_]*"
)
"""Classes whose names become records. They are not looked up anywhere."""

_DTYPE_NAMES = {str(dtype).removeprefix("torch.") for dtype in DTYPES.values()}


def _ordered_dict(arguments: tuple[object, ...]) -> object:
    _require(arguments == (), "an OrderedDict with arguments, which torch does not write")
    return {}


def _set(arguments: tuple[object, ...]) -> object:
    _require(len(arguments) == 1 and isinstance(arguments[0], list), "a set that is not built from a list")
    (items,) = arguments
    assert isinstance(items, list)
    # Tuples may be nested so deeply that hashing them overflows the stack.
    _require(
        all(isinstance(item, str | int | float | None) for item in items),
        "a set with elements that are not plain values",
    )
    return frozenset(items)


def _getattr(arguments: tuple[object, ...]) -> object:
    """Permit the old head's reference to `Detect.forward`; the result can be stored, but not called."""
    owner, name = arguments if len(arguments) == 2 else (None, None)
    if not isinstance(owner, Global) or not isinstance(name, str) or name not in ("forward", "forward_fuse"):
        raise checkpoint_error(
            f"the checkpoint accesses the unsupported attribute {quoted(name)}; nothing was executed"
        )
    _require(owner.name.startswith("ultralytics.nn."), "an attribute of an object that is not a layer")
    return Stub(f"{owner.name}.{name}")


def _tensor(arguments: tuple[object, ...]) -> object:
    # Other arguments: whether it requires gradients, hooks, and in some files a dict of metadata.
    _require(6 <= len(arguments) <= 7, "a tensor with an unexpected number of arguments")
    storage, offset, shape, stride = arguments[:4]
    return stored_tensor(storage, offset, shape, stride)


def _parameter(arguments: tuple[object, ...]) -> object:
    _require(len(arguments) == 3 and isinstance(arguments[0], StoredTensor), "a parameter that is not a tensor")
    return arguments[0]


def _size(arguments: tuple[object, ...]) -> object:
    _require(len(arguments) == 1 and isinstance(arguments[0], tuple), "a size that is not a tuple")
    return arguments[0]


def _record(kind: str) -> Call:
    return lambda _: Stub(kind)


def _require(condition: bool, problem: str) -> None:
    if not condition:
        raise checkpoint_error(f"the checkpoint has {problem}; nothing was executed")


_RECORDS = (
    "torch.device",
    # Training scores, which are NumPy scalars.
    "numpy.dtype",
    "numpy.core.multiarray.scalar",
    "numpy._core.multiarray.scalar",
    "_codecs.encode",
    "pathlib.PosixPath",
    "pathlib.WindowsPath",
    "pathlib._local.PosixPath",
    "pathlib._local.WindowsPath",
)
"""Names kept as records, because nothing in a network depends on them."""

_TABLE = {
    entry.name: entry
    for entry in (
        Global("collections.OrderedDict", _ordered_dict),
        Global("__builtin__.set", _set),
        Global("builtins.set", _set),
        Global("__builtin__.getattr", _getattr),
        Global("builtins.getattr", _getattr),
        Global("torch.Size", _size),
        Global("torch._utils._rebuild_tensor_v2", _tensor),
        Global("torch._utils._rebuild_parameter", _parameter),
        *(Global(name, _record(name)) for name in _RECORDS),
    )
}
"""All permitted calls, except classes of networks."""
