import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from streamseg.errors import WeightsError
from streamseg.weights.checkpoint.archive import Archive, Entry
from streamseg.weights.checkpoint.storages import DTYPES, Storage, Storages, stored_tensor
from streamseg.weights.checkpoint.unpickler import unpickle
from tests.support.hostile import archive, program, tensor

NUMBERS = np.arange(6, dtype="<f4")


def load(tmp_path, *programs, storages=None, byteorder="little"):
    path = tmp_path / "a.pt"
    path.write_bytes(archive(b"", {"0": NUMBERS.tobytes()} if storages is None else storages))
    with Archive(path) as opened:
        found = Storages(opened, byteorder=byteorder)
        return [found.load(unpickle(program(steps), found)) for steps in programs]


@pytest.mark.parametrize(
    ("shape", "stride", "offset", "expected"),
    [
        pytest.param((6,), (1,), 0, [0, 1, 2, 3, 4, 5], id="whole"),
        pytest.param((2, 3), (3, 1), 0, [[0, 1, 2], [3, 4, 5]], id="rows"),
        pytest.param((3, 2), (1, 3), 0, [[0, 3], [1, 4], [2, 5]], id="transposed"),
        pytest.param((2,), (1,), 4, [4, 5], id="end"),
        pytest.param((3,), (2,), 1, [1, 3, 5], id="every-second"),
        pytest.param((), (), 3, 3, id="scalar"),
        pytest.param((1, 2), (0, 1), 0, [[0, 1]], id="stride-of-an-axis-of-one"),
        pytest.param((0,), (1,), 0, [], id="empty"),
        pytest.param((0, 4), (4, 1), 6, [], id="empty-at-the-end"),
        pytest.param((2, 0), (0, 0), 0, [[], []], id="empty-rows"),
    ],
)
def test_views(shape, stride, offset, expected, tmp_path):
    (read,) = load(tmp_path, tensor(shape, stride, offset=offset))
    assert read.dtype == torch.float32
    assert read.shape == shape
    assert read.tolist() == expected


@pytest.mark.parametrize(
    ("steps", "message"),
    [
        pytest.param(tensor((7,), (1,)), "exceeds its storage of 6 elements", id="too-long"),
        pytest.param(tensor((6,), (1,), offset=1), "at offset 1 exceeds", id="offset"),
        pytest.param(tensor((1,), (1,), offset=6), "exceeds its storage", id="offset-behind"),
        pytest.param(tensor((0,), (1,), offset=7), "exceeds its storage", id="offset-behind-of-nothing"),
        pytest.param(tensor((2, 2), (5, 1)), "exceeds its storage", id="stride"),
        pytest.param(tensor((2**39,), (1,)), "exceeds its storage", id="giant"),
        pytest.param(tensor((2**39,), (0,)), "overlapping elements", id="expanded-giant"),
        pytest.param(tensor((2, 3), (0, 1)), "overlapping elements", id="expanded"),
        pytest.param(tensor((2, 3), (1, 1)), "overlapping elements", id="overlapping"),
        pytest.param(tensor((3, 2), (1, 2)), "overlapping elements", id="overlapping-by-one"),
        pytest.param(tensor((-1,), (1,)), "are not valid sizes", id="negative-shape"),
        pytest.param(tensor((2,), (-1,)), "are not valid sizes", id="negative-stride"),
        pytest.param(tensor((2,), (1,), offset=-1), "are not valid sizes", id="negative-offset"),
        pytest.param(tensor((2**62,), (1,)), "are not valid sizes", id="overflowing"),
        pytest.param(tensor((2, 3), (1,)), "has 2 axes and 1 strides", id="fewer-strides"),
        pytest.param(tensor((1,) * 9, (1,) * 9), "at most 8 are allowed", id="many-axes"),
        pytest.param(tensor((5,), (1,), count=5), "declares 5 elements of torch.float32, but has 24", id="short"),
        pytest.param(tensor((7,), (1,), count=7), "declares 7 elements of torch.float32, but has 24", id="long"),
        pytest.param(tensor((2,), (1,), count=-6), "declares -6 elements", id="negative-count"),
        pytest.param(tensor((6,), (1,), kind="HalfStorage"), "6 elements of torch.float16, but has 24", id="type"),
        pytest.param(tensor((6,), (1,), key="1"), "storage '1' is not in the archive", id="missing"),
        pytest.param(tensor((6,), (1,), kind="QInt8Storage"), "refers to 'torch.QInt8Storage'", id="quantized"),
        pytest.param(tensor((6,), (1,), kind="UntypedStorage"), "refers to 'torch.UntypedStorage'", id="untyped"),
    ],
)
def test_invalid_storage_or_view_is_rejected(steps, message, tmp_path):
    with pytest.raises(WeightsError, match=message):
        load(tmp_path, steps)


def test_storage_with_two_types_is_rejected(tmp_path):
    with pytest.raises(WeightsError, match=r"storage '0' is declared both as torch.float32 and as torch.int32"):
        load(tmp_path, tensor((6,), (1,)), tensor((6,), (1,), kind="IntStorage"))


@pytest.mark.parametrize("byteorder", ["little", "big"])
@pytest.mark.parametrize("kind", DTYPES)
def test_types_and_byte_orders(kind, byteorder, tmp_path):
    values = torch.tensor([1, 0, 1, 1]).to(DTYPES[kind])
    contents = values.view(torch.uint8).numpy().reshape(4, -1)
    contents = contents if byteorder == "little" else contents[:, ::-1]
    steps = tensor((4,), (1,), kind=kind, count=4)
    (read,) = load(tmp_path, steps, storages={"0": contents.tobytes()}, byteorder=byteorder)
    assert read.dtype == values.dtype
    assert torch.equal(read, values)


def test_invalid_booleans_are_rejected(tmp_path):
    with pytest.raises(WeightsError, match="boolean values other than 0 and 1"):
        load(tmp_path, tensor((2,), (1,), kind="BoolStorage", count=2), storages={"0": b"\x01\x02"})


def test_tensors_of_one_storage_do_not_share_memory(tmp_path):
    twice = {"0": NUMBERS.tobytes(), "1": NUMBERS.tobytes()}
    first, second = load(tmp_path, tensor((6,), (1,)), tensor((6,), (1,)), storages=twice)
    first.zero_()
    assert second.tolist() == NUMBERS.tolist()


def test_total_size_of_views_is_limited(tmp_path):
    with pytest.raises(WeightsError, match="their total size exceeds that of the archive"):
        load(tmp_path, *[tensor((6,), (1,))] * 2)


@given(
    shape=st.lists(st.integers(0, 4), max_size=4),
    stride=st.lists(st.integers(0, 30), min_size=4, max_size=4),
    offset=st.integers(0, 20),
    num_elements=st.integers(0, 60),
)
def test_views_are_accepted_only_without_overlap_inside_the_storage(shape, stride, offset, num_elements):
    whole = Storage(Entry("data/0", 0, 4 * num_elements, 0), torch.float32, num_elements)
    strides = tuple(stride[: len(shape)])
    places = offset + sum(
        (np.indices(shape)[axis] * step for axis, step in enumerate(strides)), start=np.zeros(shape, dtype=int)
    )
    is_valid = len(np.unique(places)) == places.size and (places.size == 0 or places.max() < num_elements)
    try:
        stored_tensor(whole, offset, tuple(shape), strides)
    except WeightsError:
        # Interleaved strides without collisions are rejected as well; no program writes them.
        axes = sorted((step, count) for step, count in zip(strides, shape, strict=True) if count > 1)
        interleaved = any(
            step < 1 + sum(s * (c - 1) for s, c in axes[:position]) for position, (step, _) in enumerate(axes)
        )
        assert not is_valid or interleaved or (places.size == 0 and offset > num_elements)
    else:
        assert is_valid
