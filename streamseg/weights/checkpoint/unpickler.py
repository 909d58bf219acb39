"""A machine for the pickles that torch writes, and for nothing more.

Not a subclass of `pickle.Unpickler`: that one knows how to import, to call and to hash whatever it meets, and
would have to be kept from it. This one knows the opcodes of protocol 2 (PEP 307) that torch writes; what is
not here cannot happen.
"""

from __future__ import annotations

from collections.abc import Callable

from streamseg.weights.checkpoint.opcodes import opcodes
from streamseg.weights.checkpoint.refusal import quoted, refuse
from streamseg.weights.checkpoint.storages import DTYPES, Storages
from streamseg.weights.checkpoint.stubs import Inert, Named, named

__all__ = ["MOST_BYTES", "MOST_OPCODES", "unpickle"]

MOST_BYTES = 4 << 20
"""The published checkpoint of the largest network has 0.35 MB of pickle; from the middle of a training, about 1 MB."""

MOST_OPCODES = 500_000
"""The largest network has 60 thousand, from the middle of a training 150 thousand; nothing takes more than seconds."""

_PROTOCOL = 2


def unpickle(contents: bytes | bytearray, storages: Storages) -> object:
    """Read a pickle into dicts, lists, tuples, plain values, `StoredTensor`, `Named` and `Inert`.

    Nesting is as deep as the pickle makes it: nothing here recurses, and nothing that reads the answer may do so
    without a bound.

    Raises:
        WeightsError: it is too large, damaged, or asks for anything that a checkpoint does not need.
    """
    if len(contents) > MOST_BYTES:
        raise refuse(f"the checkpoint's pickle has {len(contents)} bytes; at most {MOST_BYTES} are read")
    return _Machine(storages).run(bytes(contents))


class _Machine:
    """A stack, the stacks below the marks, and a memo."""

    def __init__(self, storages: Storages) -> None:
        self._storages = storages
        self._stack: list[object] = []
        self._below: list[list[object]] = []
        self._memo: dict[int, object] = {}
        self._steps: dict[str, Callable[[object], None]] = {
            "PROTO": self._protocol,
            "GLOBAL": self._global,
            "BINPERSID": self._storage,
            "REDUCE": self._reduce,
            "NEWOBJ": self._new_object,
            "BUILD": self._build,
            "MARK": lambda _: self._mark(),
            "BINPUT": self._put,
            "LONG_BINPUT": self._put,
            "BINGET": self._get,
            "LONG_BINGET": self._get,
            "EMPTY_DICT": lambda _: self._push({}),
            "EMPTY_LIST": lambda _: self._push([]),
            "EMPTY_TUPLE": lambda _: self._push(()),
            "TUPLE": lambda _: self._push(tuple(self._pop_to_mark())),
            "TUPLE1": lambda _: self._push(tuple(self._pop_many(1))),
            "TUPLE2": lambda _: self._push(tuple(self._pop_many(2))),
            "TUPLE3": lambda _: self._push(tuple(self._pop_many(3))),
            "SETITEM": lambda _: self._set_items(self._pop_many(2)),
            "SETITEMS": lambda _: self._set_items(self._pop_to_mark()),
            "APPEND": lambda _: self._extend(self._pop_many(1)),
            "APPENDS": lambda _: self._extend(self._pop_to_mark()),
            "NONE": lambda _: self._push(None),
            "NEWTRUE": lambda _: self._push(True),
            "NEWFALSE": lambda _: self._push(False),
            **dict.fromkeys(("BININT", "BININT1", "BININT2", "LONG1"), self._integer),
            "BINFLOAT": self._push,
            "BINUNICODE": self._text,
        }

    def run(self, contents: bytes) -> object:
        """Run all of it."""
        end = 0
        for count, (name, argument, position) in enumerate(opcodes(contents)):
            if count >= MOST_OPCODES:
                raise refuse(f"the checkpoint's pickle has more than {MOST_OPCODES} steps")
            if count == 0 and name != "PROTO":
                raise refuse("the checkpoint's pickle does not say which protocol it has")
            if name == "STOP":
                end = position + 1
                break
            self._steps[name](argument)
        if end != len(contents):
            raise refuse(f"{len(contents) - end} bytes follow the end of the checkpoint's pickle")
        if self._below or len(self._stack) != 1:
            raise refuse("the checkpoint's pickle ends with an unfinished object")
        return self._stack[0]

    # What each opcode does, with its argument

    def _protocol(self, argument: object) -> None:
        if argument != _PROTOCOL:
            raise refuse(
                f"the checkpoint's pickle has protocol {quoted(argument)}; torch writes {_PROTOCOL}",
                "save it again with torch.save and its own protocol",
            )

    def _global(self, argument: object) -> None:
        assert isinstance(argument, tuple)
        module, name = argument
        self._push(named(module, name))

    def _storage(self, _: object) -> None:
        (identity,) = self._pop_many(1)
        if not isinstance(identity, tuple) or len(identity) != 5 or identity[0] != "storage":
            raise refuse("the checkpoint's pickle refers to something outside that is no storage")
        _, kind, key, location, num_elements = identity
        dtype = DTYPES.get(kind.name.removeprefix("torch.")) if isinstance(kind, Named) else None
        if dtype is None or not isinstance(location, str):
            raise refuse(f"storage {quoted(key)} is of an unknown kind", "save the checkpoint again, on the CPU")
        self._push(self._storages.find(key, dtype, num_elements))

    def _reduce(self, _: object) -> None:
        called, arguments = self._pop_many(2)
        if not isinstance(called, Named) or called.call is None or not isinstance(arguments, tuple):
            raise refuse(f"the checkpoint's pickle calls {_described(called)}; nothing was run")
        self._push(called.call(arguments))

    def _new_object(self, _: object) -> None:
        made, arguments = self._pop_many(2)
        if not isinstance(made, Named) or not made.is_class or not isinstance(arguments, tuple):
            raise refuse(f"the checkpoint's pickle makes an object of {_described(made)}; nothing was run")
        self._push(Inert(made.name))

    def _build(self, _: object) -> None:
        (state,) = self._pop_many(1)
        target = self._top()
        if isinstance(target, Inert):
            if isinstance(state, dict) and all(isinstance(name, str) for name in state):
                target.attributes.update(state)
            elif not isinstance(state, tuple):  # of numpy's types
                raise refuse(f"the checkpoint's pickle gives {quoted(target.kind)} attributes that are no dict")
        # torch gives an OrderedDict of tensors the versions of its modules, which nothing here needs.
        elif not isinstance(target, dict) or not isinstance(state, dict):
            raise refuse(f"the checkpoint's pickle gives {_described(target)} attributes")

    def _integer(self, argument: object) -> None:
        if isinstance(argument, bytes):
            if len(argument) > 8:
                raise refuse("the checkpoint's pickle has an integer of more than 64 bits")
            argument = int.from_bytes(argument, "little", signed=True)
        self._push(argument)

    def _text(self, argument: object) -> None:
        assert isinstance(argument, bytes)
        try:
            self._push(argument.decode())
        except UnicodeDecodeError:
            raise refuse("the checkpoint's pickle has a string that is no text") from None

    def _set_items(self, items: list[object]) -> None:
        target = self._top()
        if not isinstance(target, dict) or len(items) % 2:
            raise refuse(f"the checkpoint's pickle puts entries into {_described(target)}")
        for key, value in zip(items[::2], items[1::2], strict=True):
            # Tuples could be nested so deeply that hashing them overflows the stack.
            if not isinstance(key, str | int | float | None):
                raise refuse(f"the checkpoint's pickle has a dict with {_described(key)} as a key")
            target[key] = value

    def _extend(self, items: list[object]) -> None:
        target = self._top()
        if not isinstance(target, list):
            raise refuse(f"the checkpoint's pickle appends to {_described(target)}")
        target.extend(items)

    def _put(self, argument: object) -> None:
        assert isinstance(argument, int)
        self._memo[argument] = self._top()

    def _get(self, argument: object) -> None:
        assert isinstance(argument, int)
        if argument not in self._memo:
            raise refuse(f"the checkpoint's pickle takes {argument} from its memo, where nothing is")
        self._push(self._memo[argument])

    # The stack

    def _push(self, value: object) -> None:
        self._stack.append(value)

    def _top(self) -> object:
        if not self._stack:
            raise refuse("the checkpoint's pickle takes more from its stack than it put there")
        return self._stack[-1]

    def _pop_many(self, count: int) -> list[object]:
        if len(self._stack) < count:
            raise refuse("the checkpoint's pickle takes more from its stack than it put there")
        popped = self._stack[-count:]
        del self._stack[-count:]
        return popped

    def _mark(self) -> None:
        self._below.append(self._stack)
        self._stack = []

    def _pop_to_mark(self) -> list[object]:
        if not self._below:
            raise refuse("the checkpoint's pickle goes back to a mark that it has not set")
        popped = self._stack
        self._stack = self._below.pop()
        return popped


def _described(value: object) -> str:
    return quoted(value.name) if isinstance(value, Named) else quoted(value)
