import gc
import os
import pickle
import re
import sys
import time
from types import ModuleType

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamseg.errors import WeightsError
from streamseg.weights.checkpoint import read_checkpoint
from streamseg.weights.checkpoint.archive import Archive
from streamseg.weights.checkpoint.storages import Storages, StoredTensor
from streamseg.weights.checkpoint.stubs import Stub
from streamseg.weights.checkpoint.unpickler import MAX_BYTES, MAX_OPCODES, unpickle
from tests.support.hostile import (
    START,
    STOP,
    archive,
    call,
    entries,
    instance,
    integer,
    integers,
    name,
    program,
    sequence,
    storage,
    tensor,
    text,
)

TRAP = "checkpoint_trap"


@pytest.fixture
def canary(tmp_path):
    """Path of a file that an executed shell command would create; a module records calls. Neither may happen."""
    path = tmp_path / "executed"
    trap = ModuleType(TRAP)
    trap.calls = []
    trap.spring = lambda *arguments: trap.calls.append(arguments)
    sys.modules[TRAP] = trap
    try:
        yield path
        assert not path.exists()
        assert trap.calls == []
    finally:
        del sys.modules[TRAP]


def touch(path):
    return text(f"echo > '{path}'")


def deep(num_levels, opening, closing):
    return opening * num_levels + closing * num_levels


GETATTR = name("__builtin__", "getattr")
NEVER_RUN = r"refers to '.*, which no network needs; nothing was executed"

PROGRAMS = {
    # Names
    "os.system": (lambda path: call(name("os", "system"), touch(path)), NEVER_RUN),
    "posix.system": (lambda path: call(name("posix", "system"), touch(path)), NEVER_RUN),
    "nt.system": (lambda path: call(name("nt", "system"), touch(path)), NEVER_RUN),
    "subprocess": (lambda path: call(name("subprocess", "call"), touch(path), integer(1)), NEVER_RUN),
    "eval": (lambda path: call(name("__builtin__", "eval"), text(f"open({str(path)!r}, 'w')")), NEVER_RUN),
    "exec": (lambda path: call(name("builtins", "exec"), text(f"open({str(path)!r}, 'w')")), NEVER_RUN),
    "compile": (lambda path: call(name("builtins", "compile"), text("1"), text(""), text("eval")), NEVER_RUN),
    "open": (lambda path: call(name("builtins", "open"), text(str(path)), text("w")), NEVER_RUN),
    "import": (lambda path: call(name("builtins", "__import__"), text("antigravity")), NEVER_RUN),
    "trap": (lambda path: call(name(TRAP, "spring")), NEVER_RUN),
    "trap-mentioned": (lambda path: name(TRAP, "spring"), NEVER_RUN),
    "runpy": (lambda path: call(name("runpy", "run_path"), text(str(path))), NEVER_RUN),
    "copyreg": (lambda path: call(name("copy_reg", "_reconstructor"), text("a")), NEVER_RUN),
    "copyreg-extension": (lambda path: call(name("copyreg", "add_extension"), text("os")), NEVER_RUN),
    "pickle.loads": (lambda path: call(name("pickle", "loads"), text("")), NEVER_RUN),
    "torch.load": (lambda path: call(name("torch", "load"), text(str(path))), NEVER_RUN),
    "torch.hub": (lambda path: call(name("torch.hub", "load"), text("a"), text("b")), NEVER_RUN),
    "torch.nn.functional": (lambda path: name("torch.nn.functional", "relu"), NEVER_RUN),
    "dotted-name": (lambda path: name("torch.nn.modules.conv", "torch.os.system"), NEVER_RUN),
    "dotted-network-name": (lambda path: name("ultralytics.nn.tasks", "torch.load"), NEVER_RUN),
    "private-name": (lambda path: name("torch.nn.modules.conv", "__builtins__"), NEVER_RUN),
    "module-of-nothing": (lambda path: name("", "system"), NEVER_RUN),
    "long-name": (lambda path: name("a" * 10_000, "b" * 10_000), NEVER_RUN),
    # getattr
    "getattr-of-os": (lambda path: call(GETATTR, name("os", "path"), text("system")), NEVER_RUN),
    "getattr-globals": (
        lambda path: call(GETATTR, name("ultralytics.nn.modules.head", "Detect"), text("__globals__")),
        "accesses the unsupported attribute '__globals__'; nothing was executed",
    ),
    "getattr-of-torch": (
        lambda path: call(GETATTR, name("torch.nn.modules.conv", "Conv2d"), text("forward")),
        "an attribute of an object that is not a layer; nothing was executed",
    ),
    "getattr-of-an-object": (
        lambda path: call(GETATTR, instance("ultralytics.nn.modules.head", "Detect", {}), text("forward")),
        "accesses the unsupported attribute 'forward'",
    ),
    "getattr-of-getattr": (
        lambda path: call(GETATTR, GETATTR, text("__self__")),
        "accesses the unsupported attribute '__self__'",
    ),
    "getattr-with-a-default": (
        lambda path: call(GETATTR, name("ultralytics.nn.modules.head", "Detect"), text("x"), text("y")),
        "accesses the unsupported attribute None",
    ),
    "getattr-called": (
        lambda path: call(
            call(GETATTR, name("ultralytics.nn.modules.head", "Detect"), text("forward")), text(str(path))
        ),
        "calls a Stub; nothing was executed",
    ),
    # Other calls
    "nested-reduce": (
        lambda path: call(call(GETATTR, call(name("os", "getenv"), text("A")), text("b")), touch(path)),
        NEVER_RUN,
    ),
    "call-of-a-string": (lambda path: call(text("os.system"), touch(path)), "calls 'os.system'; nothing was executed"),
    "call-of-a-storage": (lambda path: call(name("torch", "FloatStorage"), integer(3)), "calls 'torch.FloatStorage'"),
    "call-without-a-tuple": (lambda path: name("__builtin__", "set") + b"]R", "calls '__builtin__.set'"),
    "object-of-a-function": (lambda path: GETATTR + b")\x81", "instantiates '__builtin__.getattr'"),
    "object-of-a-string": (lambda path: text("os") + b")\x81", "instantiates 'os'"),
    "set-of-tuples": (
        lambda path: call(name("__builtin__", "set"), b"](" + b")" + b"e"),
        "a set with elements that are not plain values",
    ),
    "set-of-a-string": (
        lambda path: call(name("__builtin__", "set"), text("abc")),
        "a set that is not built from a list",
    ),
    "dict-with-contents": (
        lambda path: call(name("collections", "OrderedDict"), b"]"),
        "an OrderedDict with arguments",
    ),
    "parameter-of-nothing": (
        lambda path: call(name("torch._utils", "_rebuild_parameter"), b"N", b"\x89", b"}"),
        "a parameter that is not a tensor",
    ),
    "size-of-nothing": (lambda path: call(name("torch", "Size"), b"N"), "a size that is not a tuple"),
    "tensor-with-few-arguments": (
        lambda path: call(name("torch._utils", "_rebuild_tensor_v2"), b"N"),
        "an unexpected number of",
    ),
    "tensor-of-no-storage": (
        lambda path: call(name("torch._utils", "_rebuild_tensor_v2"), text("0"), *[integer(0)] * 5),
        "a tensor is built on '0', not on a storage",
    ),
    # Attributes
    "attributes-of-a-list": (lambda path: b"]}b", "sets attributes of a list"),
    "attributes-of-a-name": (
        lambda path: name("collections", "OrderedDict") + b"}b",
        "sets attributes of 'collections.Ordered",
    ),
    "attributes-by-number": (
        lambda path: name("ultralytics.nn.tasks", "A") + b")\x81}" + integer(1) + b"Nsb",
        "sets attributes of 'ultralytics.nn.tasks.A' without a dict",
    ),
    "attributes-that-are-a-list": (lambda path: name("ultralytics.nn.tasks", "A") + b")\x81]b", "without a dict"),
    # Opcodes of other protocols, and opcodes with side effects
    "INST": (lambda path: b"(" + touch(path) + b"ios\nsystem\n", "opcode INST, which torch does not write"),
    "OBJ": (lambda path: b"(" + name("collections", "OrderedDict") + b"o", "opcode OBJ"),
    "EXT1": (lambda path: b"\x82\x01", "opcode EXT1"),
    "EXT2": (lambda path: b"\x83\x01\x00", "opcode EXT2"),
    "EXT4": (lambda path: b"\x84\x01\x00\x00\x00", "opcode EXT4"),
    "PERSID": (lambda path: b"Pstorage\n", "opcode PERSID"),
    "NEWOBJ_EX": (lambda path: name("ultralytics.nn.tasks", "A") + b")}\x92", "opcode NEWOBJ_EX"),
    "STACK_GLOBAL": (lambda path: text("os") + text("system") + b"\x93", "opcode STACK_GLOBAL"),
    "FRAME": (lambda path: b"\x95" + bytes(8), "opcode FRAME"),
    "BYTEARRAY8": (lambda path: b"\x96" + bytes(8), "opcode BYTEARRAY8"),
    "NEXT_BUFFER": (lambda path: b"\x97", "opcode NEXT_BUFFER"),
    "READONLY_BUFFER": (lambda path: b"\x98", "opcode READONLY_BUFFER"),
    "MEMOIZE": (lambda path: b"N\x94", "opcode MEMOIZE"),
    "DUP": (lambda path: b"N2", "opcode DUP"),
    "STRING": (lambda path: b"S'a'\n", "opcode STRING"),
    "UNICODE": (lambda path: b"V\\u0041\n", "opcode UNICODE"),
    "INT": (lambda path: b"I1\n", "opcode INT"),
    "LONG": (lambda path: b"L" + b"9" * 4000 + b"L\n", "opcode LONG"),
    "unknown-opcode": (lambda path: b"\xff", "the opcode 0xff, which torch does not write"),
    # Numbers and strings
    "huge-integer": (lambda path: b"\x8a\xff" + b"\x7f" * 255, "an integer of more than 64 bits"),
    "huge-decimal": (lambda path: b"L" + b"9" * 100_000 + b"L\n", "opcode LONG"),
    "string-longer-than-the-file": (lambda path: b"X\xff\xff\xff\x7fa", "pickle is truncated"),
    "surrogate-in-string": (lambda path: b"X\x03\x00\x00\x00\xed\xa0\x80", "a string that is not valid UTF-8"),
    "string-of-other-bytes": (lambda path: b"X\x02\x00\x00\x00\xff\xff", "a string that is not valid UTF-8"),
    # The stack
    "empty": (lambda path: b"", "pops more from|unfinished"),
    "two-objects": (lambda path: b"NN", "ends with an unfinished object"),
    "open-mark": (lambda path: b"(N", "ends with an unfinished object"),
    "no-mark": (lambda path: b"t", "pops to a mark that it has not set"),
    "underflow": (lambda path: b"R", "pops more from its stack"),
    "underflow-below-a-mark": (lambda path: b"NN(\x86", "pops more from its stack"),
    "empty-memo": (lambda path: b"h\x07", "reads the undefined memo entry 7"),
    "memo-of-nothing": (lambda path: b"q\x00", "pops more from its stack"),
    "odd-items": (lambda path: b"}(NNNu", "adds items to"),
    "items-of-a-list": (lambda path: b"](NNu", "adds items to a list"),
    "appends-to-a-dict": (lambda path: b"}(Ne", "appends to a dict"),
    "tuple-as-a-key": (lambda path: b"})Ns", "a dict with a tuple as a key"),
    "second-protocol": (lambda path: b"\x80\x05N", "has protocol 5; torch writes 2"),
    "trailing-program": (lambda path: b"N." + call(name("os", "system"), touch(path)), "bytes follow the end"),
    # Storages
    "storage-of-another-kind": (
        lambda path: sequence(text("module"), name("torch", "FloatStorage"), text("0"), text("cpu"), integer(1)) + b"Q",
        "refers to an external object that is not a storage",
    ),
    "storage-class-of-another-kind": (
        lambda path: (
            sequence(text("storage"), name("collections", "OrderedDict"), text("0"), text("cpu"), integer(1)) + b"Q"
        ),
        "storage '0' has an unknown type",
    ),
    "storage-by-path": (lambda path: storage("../../etc/passwd", 1), r"storage '\.\./\.\./etc/passwd' is not in"),
    "storage-by-tuple": (
        lambda path: sequence(text("storage"), name("torch", "FloatStorage"), b")", text("cpu"), integer(1)) + b"Q",
        "storage a tuple is not in the archive",
    ),
    "persistent-text": (lambda path: text("os.system") + b"Q", "refers to an external object"),
}


def rejection(path, contents):
    path.write_bytes(contents)
    with pytest.raises(WeightsError) as caught:
        read_checkpoint(path)
    message = str(caught.value)
    assert message.startswith(f"{path}: ")
    assert "\n" not in message
    assert message.isprintable()
    assert len(message) < len(str(path)) + 400
    return message


@pytest.mark.parametrize("case", PROGRAMS)
def test_hostile_pickle_is_rejected_without_execution(case, canary, tmp_path):
    make, expected = PROGRAMS[case]
    message = rejection(tmp_path / "a.pt", archive(program(make(canary)), {"0": bytes(24)}))
    assert re.search(expected, message), message


@pytest.mark.parametrize("place", ["state_dict", "train_args", "module"])
def test_nested_payload_is_rejected_without_execution(place, canary, tmp_path):
    payload = call(name("os", "system"), touch(canary))
    if place == "module":
        payload = instance("ultralytics.nn.tasks", "SegmentationModel", {"_modules": entries({"model": payload})})
    message = rejection(tmp_path / "a.pt", archive(program(entries({"epoch": integer(-1), place: payload}))))
    assert "refers to 'os.system'" in message


def test_canaries_detect_executed_pickles(tmp_path):
    path = tmp_path / "executed"
    pickle.loads(program(call(name(os.system.__module__, "system"), touch(path))))
    assert path.exists()
    trap = ModuleType(TRAP)
    trap.spring = lambda: setattr(trap, "sprung", True)
    sys.modules[TRAP] = trap
    try:
        pickle.loads(program(call(name(TRAP, "spring"))))
    finally:
        del sys.modules[TRAP]
    assert trap.sprung


@pytest.mark.parametrize(
    ("contents", "expected"),
    [
        pytest.param(b"", "unfinished|does not start|follow|truncated", id="empty"),
        pytest.param(b"N.", "does not start with its protocol", id="no-protocol"),
        pytest.param(b"\x80\x04\x95" + bytes(8), "has protocol 4; torch writes 2; save it again", id="protocol-4"),
        pytest.param(START + b"N", "pickle is truncated", id="no-stop"),
        pytest.param(START + b"cos\n", "pickle is truncated", id="truncated-name"),
        pytest.param(START + b"N" + STOP + b"\0", "1 bytes follow the end", id="trailing-byte"),
        pytest.param(b"cos\nsystem\n(S'true'\ntR.", "does not start with its protocol", id="protocol-0"),
    ],
)
def test_damaged_pickles_are_rejected(contents, expected, tmp_path):
    message = rejection(tmp_path / "a.pt", archive(contents))
    assert re.search(expected, message), message


# ---- bombs: small in the file, but large, deep or slow to process


def doubled(num_levels):
    """Each tuple contains the previous one twice: a traversal visits 2^levels leaves."""
    parts = [b"Nq\x00"]
    for level in range(num_levels):
        parts.append(b"h" + bytes([level]) + b"\x86" + b"q" + bytes([level + 1]))
    return b"".join(parts)


BOMBS = {
    "deep-tuples": b"N" + b"\x85" * 490_000,
    "deep-lists": deep(240_000, b"]", b"a"),
    "deep-dicts": b"}" + b"N}" * 160_000 + b"s" * 160_000,
    "deep-marks": deep(240_000, b"(", b"t"),
    "deep-objects": (name("ultralytics.nn.tasks", "A") + b"q\x00)\x81}" + text("a") + b"q\x01")
    + b"h\x00)\x81}h\x01" * 65_000
    + b"N"
    + b"sb" * 65_001,
    "doubled-tuples": doubled(200),
    "many-strings": b"(" + text("a" * 1000) * 4000 + b"t",
    "wide-memo": b"N" + b"".join(b"r" + i.to_bytes(4, "little") for i in range(0, 2**32, 2**14)),
}


@pytest.mark.slow
@pytest.mark.parametrize("case", BOMBS)
def test_bomb_is_rejected_in_limited_time_and_memory(case, tmp_path):
    started = time.process_time()
    rejection(tmp_path / "a.pt", archive(program(BOMBS[case])))
    gc.collect()
    assert time.process_time() - started < 10


@pytest.mark.slow
def test_deep_object_anywhere_in_a_network_is_rejected(tmp_path):
    bomb = b"N" + b"\x85" * 20_000
    for key in ("_modules", "_parameters", "_buffers", "names", "args"):
        model = instance("ultralytics.nn.tasks", "SegmentationModel", {key: bomb})
        rejection(tmp_path / "a.pt", archive(program(entries({"model": model, "train_args": bomb, "date": bomb}))))


@pytest.mark.slow
def test_number_of_opcodes_and_bytes_is_limited(tmp_path):
    assert "more than 500000 opcodes" in rejection(tmp_path / "a.pt", archive(program(b"N" + b"q\x00" * MAX_OPCODES)))
    assert f"at most {MAX_BYTES} are allowed" in rejection(tmp_path / "a.pt", archive(bytes(MAX_BYTES + 1)))


# ---- valid contents


@pytest.fixture
def storages(tmp_path):
    path = tmp_path / "a.pt"
    path.write_bytes(archive(b"", {"0": bytes(24)}))
    with Archive(path) as opened:
        yield Storages(opened, byteorder="little")


PLAIN = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**63 - 1) | st.floats(allow_nan=False) | st.text(),
    lambda inner: (
        st.lists(inner)
        | st.dictionaries(st.text() | st.integers(-(2**63), 2**63 - 1), inner)
        | st.tuples(inner)
        | st.tuples(inner, inner, inner, inner)
    ),
    max_leaves=30,
)


@pytest.mark.slow
@given(PLAIN)
def test_plain_values_match_pickle(value):
    storages = None  # plain values need none
    assert unpickle(pickle.dumps(value, protocol=2), storages) == value


def test_objects_become_records(storages):
    written = instance("ultralytics.nn.modules.conv", "Conv", {"i": integer(3), "f": integers([1, 2])})
    record = unpickle(program(written), storages)
    assert isinstance(record, Stub)
    assert (record.kind, record.short_kind) == ("ultralytics.nn.modules.conv.Conv", "Conv")
    assert record.attributes == {"i": 3, "f": (1, 2)}


def test_tensors_become_views_of_storages(storages):
    read = unpickle(program(tensor([2, 3], [3, 1])), storages)
    assert isinstance(read, StoredTensor)
    assert (read.shape, read.stride, read.offset) == ((2, 3), (3, 1), 0)
    assert storages.load(read).tolist() == [[0.0] * 3] * 2


def test_training_results_become_records(storages):
    numpy_scalar = call(
        name("numpy.core.multiarray", "scalar"),
        call(name("numpy", "dtype"), text("f8"), b"\x89", b"\x88") + b"(" + integer(3) + text("<") + b"tb",
        call(name("_codecs", "encode"), text("a"), text("latin1")),
    )
    found = unpickle(
        program(entries({"fitness": numpy_scalar, "save_dir": call(name("pathlib", "PosixPath"), text("runs"))})),
        storages,
    )
    assert found["fitness"].kind == "numpy.core.multiarray.scalar"
    assert found["save_dir"].kind == "pathlib.PosixPath"
