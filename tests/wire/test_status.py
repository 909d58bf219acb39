"""What a publisher says about itself."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamseg.errors import WireError
from streamseg.wire import Status, decode_status, encode_status

STATUS = Status("e", 1_700_000_000_000_000_001, {"cam0": 3, "cam1": -1})
BODY = json.loads(encode_status(STATUS)[1])


@given(
    st.text(st.characters(codec="utf-8"), max_size=8),
    st.integers(0, 10**19),
    st.dictionaries(st.from_regex(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,63}", fullmatch=True), st.integers(-1, 2**53 - 1)),
)
def test_decode_undoes_encode(epoch, stamp_ns, sources):
    status = Status(epoch, stamp_ns, sources)
    assert decode_status(encode_status(status)) == status


@pytest.mark.parametrize(
    "changes",
    [
        {"schema": "streamseg.frame"}, {"version": [2, 0]}, {"epoch": 5}, {"stamp": {}}, {"sources": []},
        {"sources": {"a/b": 1}}, {"sources": {"cam0": -2}}, {"sources": {"cam0": "1"}},
        {"sources": {f"s{nth}": 0 for nth in range(4097)}},
    ],
)  # fmt: skip
def test_what_is_no_status_is_refused(changes):
    with pytest.raises(WireError):
        decode_status([b"status/1/", json.dumps({**BODY, **changes}).encode()])


@pytest.mark.parametrize("parts", [[], [b"status/1/"], [b"seg/1/a/", b"{}"], [b"status/1/", b"{}", b""]])
def test_other_parts_are_refused(parts):
    with pytest.raises(WireError, match="status"):
        decode_status(parts)
