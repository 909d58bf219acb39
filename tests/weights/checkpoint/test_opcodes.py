import pickle
import pickletools
from collections import OrderedDict

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamseg.errors import WeightsError
from streamseg.weights.checkpoint.opcodes import opcodes

pytestmark = pytest.mark.slow

VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**63 - 1) | st.floats() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner) | st.tuples(inner, inner),
    max_leaves=20,
)


@given(VALUES)
def test_opcodes_match_the_standard_library(value):
    contents = pickle.dumps(OrderedDict(a=value), protocol=2)
    expected = [(opcode.name, position) for opcode, _, position in pickletools.genops(contents)]
    found = []
    for name, _, position in opcodes(contents):
        found.append((name, position))
        if name == "STOP":
            break
    assert found == expected


@given(VALUES)
def test_truncated_pickle_is_rejected(value):
    contents = pickle.dumps(OrderedDict(a=value), protocol=2)
    for length in range(len(contents) - 1):
        with pytest.raises(WeightsError, match="it ends within an opcode"):
            list(opcodes(contents[:length]))


def test_all_other_opcodes_are_rejected_by_name():
    known = {opcode.code.encode("latin-1"): opcode.name for opcode in pickletools.opcodes}
    rejected = set()
    for code in (bytes([value]) for value in range(256)):
        try:
            list(opcodes(code + bytes(20)))
        except WeightsError as error:
            if "has the opcode" in str(error) and f"opcode {known.get(code, '0x' + code.hex())}," in str(error):
                rejected.add(code)
    assert len(rejected) == 256 - 32
    assert {known[code] for code in known.keys() - rejected} == {
        *("PROTO", "STOP", "MARK", "GLOBAL", "REDUCE", "NEWOBJ", "BUILD", "BINPERSID"),
        *("BINPUT", "LONG_BINPUT", "BINGET", "LONG_BINGET"),
        *("EMPTY_DICT", "EMPTY_LIST", "EMPTY_TUPLE", "TUPLE", "TUPLE1", "TUPLE2", "TUPLE3"),
        *("SETITEM", "SETITEMS", "APPEND", "APPENDS"),
        *("NONE", "NEWTRUE", "NEWFALSE", "BININT", "BININT1", "BININT2", "LONG1", "BINFLOAT", "BINUNICODE"),
    }
