import torch
from hypothesis import given
from hypothesis import strategies as st

from streamseg.segmentation.device.slab import Slab

DTYPES = (torch.uint8, torch.bool, torch.float16, torch.float32, torch.int64)


@given(
    st.lists(st.tuples(st.sampled_from(DTYPES), st.lists(st.integers(0, 5), min_size=1, max_size=3)), min_size=1),
    st.integers(0, 100),
)
def test_parts_come_back_unchanged(parts, seed):
    generator = torch.Generator().manual_seed(seed)
    tensors = {
        f"part {number}": torch.randint(0, 2, shape, generator=generator).to(dtype)
        for number, (dtype, shape) in enumerate(parts)
    }
    slab = Slab.like(tensors)
    packed = slab.pack(tensors)
    assert packed.shape == (slab.num_bytes,)
    assert slab.num_bytes == sum(values.nbytes for values in tensors.values())
    for name, values in slab.views(packed).items():
        assert values.dtype == tensors[name].dtype
        assert values.equal(tensors[name])


def test_strided_tensors_are_packed_in_their_order():
    values = torch.arange(12, dtype=torch.float32).view(3, 4).T
    slab = Slab.like({"values": values})
    assert slab.views(slab.pack({"values": values}))["values"].equal(values)


def test_views_write_into_the_buffer():
    slab = Slab.of([("first", torch.uint8, (3,)), ("second", torch.float32, (2, 2))])
    buffer = torch.zeros(slab.num_bytes, dtype=torch.uint8)
    slab.views(buffer)["second"][:] = 1.5
    assert slab.views(buffer)["second"].tolist() == [[1.5, 1.5], [1.5, 1.5]]
    assert slab.views(buffer)["first"].tolist() == [0, 0, 0]
