"""Interpreter for the pickles that torch writes.

It is not a subclass of `pickle.Unpickler`, which can import, call and hash anything it encounters and would have to be
restricted. This one implements only the opcodes of protocol 2 (PEP 307) that torch writes, so nothing else can happen.
"""

from __future__ import annotations

from collections.abc import Callable

from streamseg.weights.checkpoint.errors import checkpoint_error, quoted
from streamseg.weights.checkpoint.opcodes import opcodes
from streamseg.weights.checkpoint.storages import DTYPES, Storages
from streamseg.weights.checkpoint.stubs import Global, Stub, find_global

__all__ = ["MAX_BYTES", "MAX_OPCODES", "unpickle"]

MAX_BYTES = 4 << 20
"""The pickle of the largest published network has 0.35 MB; in a checkpoint of an unfinished training, about 1 MB."""

MAX_OPCODES = 500_000
"""The largest network has 60,000 opcodes, 150,000 in an unfinished training; any number below takes only seconds."""

_PROTOCOL = 2


def unpickle(contents: bytes | bytearray, storages: Storages) -> object:
    """Read a pickle into dicts, lists, tuples, plain values, `StoredTensor`, `Global` and `Stub`.

    The result may be nested arbitrarily deeply: nothing here is recursive, and code that processes the result must
    limit its recursion.

    Raises:
        WeightsError: it is too large, damaged, or refers to anything that a checkpoint does not need.
    """
    if len(contents) > MAX_BYTES:
        raise checkpoint_error(f"the checkpoint's pickle has {len(contents)} bytes; at most {MAX_BYTES} are allowed")
    return _Machine(storages).run(bytes(contents))


class _Machine:
    """State of the interpreter: a stack, the stacks below the marks, and a memo."""

    def __init__(self, storages: Storages) -> None:
        self._storages = storages
        self._stack: list[object] = []
        self._outer: list[list[object]] = []
        self._memo: dict[int, object] = {}
        self._actions: dict[str, Callable[[object], None]] = {
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
        """Interpret the whole pickle and return its object."""
        end = 0
        for count, (name, argument, position) in enumerate(opcodes(contents)):
            if count >= MAX_OPCODES:
                raise checkpoint_error(f"the checkpoint's pickle has more than {MAX_OPCODES} opcodes")
            if count == 0 and name != "PROTO":
                raise checkpoint_error("the checkpoint's pickle does not start with its protocol")
            if name == "STOP":
                end = position + 1
                break
            self._actions[name](argument)
        if end != len(contents):
            raise checkpoint_error(f"{len(contents) - end} bytes follow the end of the checkpoint's pickle")
        if self._outer or len(self._stack) != 1:
            raise checkpoint_error("the checkpoint's pickle ends with an unfinished object")
        return self._stack[0]

    # ---- opcodes

    def _protocol(self, argument: object) -> None:
        if argument != _PROTOCOL:
            raise checkpoint_error(
                f"the checkpoint's pickle has protocol {quoted(argument)}; torch writes {_PROTOCOL}",
                "save it again with torch.save and its default protocol",
            )

    def _global(self, argument: object) -> None:
        assert isinstance(argument, tuple)
        module, name = argument
        self._push(find_global(module, name))

    def _storage(self, _: object) -> None:
        (identity,) = self._pop_many(1)
        if not isinstance(identity, tuple) or len(identity) != 5 or identity[0] != "storage":
            raise checkpoint_error("the checkpoint's pickle refers to an external object that is not a storage")
        _, kind, key, location, num_elements = identity
        dtype = DTYPES.get(kind.name.removeprefix("torch.")) if isinstance(kind, Global) else None
        if dtype is None or not isinstance(location, str):
            raise checkpoint_error(
                f"storage {quoted(key)} has an unknown type", "move the model to the CPU and save it again"
            )
        self._push(self._storages.find(key, dtype, num_elements))

    def _reduce(self, _: object) -> None:
        called, arguments = self._pop_many(2)
        if not isinstance(called, Global) or called.call is None or not isinstance(arguments, tuple):
            raise checkpoint_error(f"the checkpoint's pickle calls {_described(called)}; nothing was executed")
        self._push(called.call(arguments))

    def _new_object(self, _: object) -> None:
        kind, arguments = self._pop_many(2)
        if not isinstance(kind, Global) or not kind.is_class or not isinstance(arguments, tuple):
            raise checkpoint_error(f"the checkpoint's pickle instantiates {_described(kind)}; nothing was executed")
        self._push(Stub(kind.name))

    def _build(self, _: object) -> None:
        (state,) = self._pop_many(1)
        target = self._top()
        if isinstance(target, Stub):
            if isinstance(state, dict) and all(isinstance(name, str) for name in state):
                target.attributes.update(state)
            elif not isinstance(state, tuple):  # the state of NumPy types
                raise checkpoint_error(
                    f"the checkpoint's pickle sets attributes of {quoted(target.kind)} without a dict"
                )
        # torch sets the versions of its modules on an OrderedDict of tensors; they are not needed here.
        elif not isinstance(target, dict) or not isinstance(state, dict):
            raise checkpoint_error(f"the checkpoint's pickle sets attributes of {_described(target)}")

    def _integer(self, argument: object) -> None:
        if isinstance(argument, bytes):
            if len(argument) > 8:
                raise checkpoint_error("the checkpoint's pickle has an integer of more than 64 bits")
            argument = int.from_bytes(argument, "little", signed=True)
        self._push(argument)

    def _text(self, argument: object) -> None:
        assert isinstance(argument, bytes)
        try:
            self._push(argument.decode())
        except UnicodeDecodeError:
            raise checkpoint_error("the checkpoint's pickle has a string that is not valid UTF-8") from None

    def _set_items(self, items: list[object]) -> None:
        target = self._top()
        if not isinstance(target, dict) or len(items) % 2:
            raise checkpoint_error(f"the checkpoint's pickle adds items to {_described(target)}")
        for key, value in zip(items[::2], items[1::2], strict=True):
            # Tuples may be nested so deeply that hashing them overflows the stack.
            if not isinstance(key, str | int | float | None):
                raise checkpoint_error(f"the checkpoint's pickle has a dict with {_described(key)} as a key")
            target[key] = value

    def _extend(self, items: list[object]) -> None:
        target = self._top()
        if not isinstance(target, list):
            raise checkpoint_error(f"the checkpoint's pickle appends to {_described(target)}")
        target.extend(items)

    def _put(self, argument: object) -> None:
        assert isinstance(argument, int)
        self._memo[argument] = self._top()

    def _get(self, argument: object) -> None:
        assert isinstance(argument, int)
        if argument not in self._memo:
            raise checkpoint_error(f"the checkpoint's pickle reads the undefined memo entry {argument}")
        self._push(self._memo[argument])

    # ---- stack

    def _push(self, value: object) -> None:
        self._stack.append(value)

    def _top(self) -> object:
        if not self._stack:
            raise checkpoint_error("the checkpoint's pickle pops more from its stack than it pushed")
        return self._stack[-1]

    def _pop_many(self, count: int) -> list[object]:
        if len(self._stack) < count:
            raise checkpoint_error("the checkpoint's pickle pops more from its stack than it pushed")
        popped = self._stack[-count:]
        del self._stack[-count:]
        return popped

    def _mark(self) -> None:
        self._outer.append(self._stack)
        self._stack = []

    def _pop_to_mark(self) -> list[object]:
        if not self._outer:
            raise checkpoint_error("the checkpoint's pickle pops to a mark that it has not set")
        popped = self._stack
        self._stack = self._outer.pop()
        return popped


def _described(value: object) -> str:
    return quoted(value.name) if isinstance(value, Global) else quoted(value)
