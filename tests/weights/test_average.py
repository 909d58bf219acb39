import json

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

import streamseg
from streamseg.weights import load_weights
from streamseg.weights.average import mean_state_dict, normalised_shares, refiner_source
from tests.support.averaging import Files, refiner_tensors, tensors_of
from tests.support.checkpoints import official_checkpoint, tiny_network

pytestmark = pytest.mark.slow

COUNTER = "model.0.bn.num_batches_tracked"
VARIANCE = "model.0.bn.running_var"
BINS = "model.22.dfl.conv.weight"


@pytest.fixture
def files(tmp_path):
    return Files(tmp_path)


def assert_same_tensors(first, second):
    assert first.keys() == second.keys()
    for name, tensor in first.items():
        assert second[name].dtype == tensor.dtype, name
        assert torch.equal(second[name], tensor), name


# ---- the mean


def test_tensors_are_averaged_and_the_network_runs(files):
    first, second = files("a", 0), files("b", 1)
    mean = files.average(first, second)
    for name, tensor in mean.state_dict.items():
        if tensor.is_floating_point():
            expected = ((first.state_dict[name].double() + second.state_dict[name].double()) / 2).float()
            assert torch.equal(tensor, expected), name
    assert not torch.equal(first.state_dict[VARIANCE], second.state_dict[VARIANCE])  # statistics are averaged as well
    assert torch.equal(mean.state_dict[BINS], first.state_dict[BINS])
    with torch.inference_mode():
        assert mean.network()(torch.zeros(1, 3, 64, 64)).score_logits.isfinite().all()


@pytest.mark.parametrize(
    ("shares", "normalised"),
    [
        pytest.param(None, [1 / 3, 1 / 3, 1 / 3], id="equal"),
        pytest.param((1, 1, 2), [0.25, 0.25, 0.5], id="integers"),
        pytest.param((1e308, 1e308, 1e308), [1 / 3, 1 / 3, 1 / 3], id="a sum that is not finite"),
        pytest.param((5e-324, 5e-324, 1e-323), [0.25, 0.25, 0.5], id="denormal"),
    ],
)
def test_three_networks_with_shares(files, shares, normalised):
    weights = [files(str(seed), seed) for seed in range(3)]
    mean = files.average(*weights, shares=shares)
    expected = sum(
        share * one.state_dict[VARIANCE].double() for share, one in zip(normalised, weights, strict=True)
    ).float()
    torch.testing.assert_close(mean.state_dict[VARIANCE], expected, rtol=1e-7, atol=0)
    sources = json.loads(mean.metadata["averaged_sha256"])
    assert [entry["sha256"] for entry in sources] == [one.sha256 for one in weights]
    assert [entry["share"] for entry in sources] == pytest.approx(normalised, rel=1e-15)


@pytest.mark.parametrize(
    ("halves", "precision"),
    [
        pytest.param((True, True), torch.float16, id="half precision"),
        pytest.param((True, False), torch.float16, id="half and single"),
        pytest.param((False, True), torch.float32, id="single and half"),
    ],
)
def test_precision_of_the_first_network_is_used(files, halves, precision):
    first, second = files("a", 0, half=halves[0]), files("b", 1, half=halves[1])
    mean = files.average(first, second)
    floating = [name for name, tensor in mean.state_dict.items() if tensor.is_floating_point()]
    assert {mean.state_dict[name].dtype for name in floating} == {precision}
    for name in floating:
        expected = ((first.state_dict[name].double() + second.state_dict[name].double()) / 2).to(precision)
        assert torch.equal(mean.state_dict[name], expected), name


def test_integers_are_copied_from_the_first_network(files):
    first = files("a", tensors={**tensors_of(0), COUNTER: torch.tensor(7)})
    second = files("b", tensors={**tensors_of(1), COUNTER: torch.tensor(100)})
    assert files.average(first, second).state_dict[COUNTER] == 7


def test_counters_may_be_missing_or_floating_point(files):
    bare = {name: tensor for name, tensor in tensors_of(1).items() if "num_batches" not in name}
    floating = {name: t.float() if "num_batches" in name else t for name, t in tensors_of(2).items()}
    without, with_all, with_floats = files("a", tensors=bare), files("b", 0), files("c", tensors=floating)
    for first, second in ((without, with_all), (with_all, without), (with_floats, without)):
        mean = files.average(first, second)
        assert mean.state_dict.keys() == first.state_dict.keys()
        mean.network()


def test_checkpoints_can_be_averaged(files):
    first = load_weights(official_checkpoint(tiny_network(seed=0), files.folder / "a.pt", half=True, license="MIT"))
    second = load_weights(official_checkpoint(tiny_network(seed=1), files.folder / "b.pt", half=True, license="GPL-3"))
    mean = files.average(first, second, files("c", 2, license="MIT"))
    assert mean.metadata["license"] == "MIT; GPL-3"
    assert mean.metadata["imgsz"] == "1024"
    assert not {"source_format", "date", "ultralytics_version"} & mean.metadata.keys()


def test_mean_of_a_file_with_itself_is_equal(files):
    weights = files("a", half=True)
    assert_same_tensors(files.average(weights, weights, shares=(1, 2)).state_dict, weights.state_dict)


VALUES = st.lists(st.floats(-100, 100, width=16), min_size=3, max_size=3)
PRECISIONS = st.sampled_from([torch.float16, torch.bfloat16, torch.float32])


@given(some=VALUES, others=VALUES, t=st.floats(0.001, 0.999), unit=st.floats(1e-300, 1e300))
def test_unit_and_order_of_shares_have_no_effect(some, others, t, unit):
    first, second = {"a": torch.tensor(some)}, {"a": torch.tensor(others)}
    mean = mean_state_dict([first, second], normalised_shares((1 - t, t), 2))
    expected = torch.lerp(first["a"].double(), second["a"].double(), t)
    for same in (
        mean,
        mean_state_dict([first, second], normalised_shares(((1 - t) * unit, t * unit), 2)),
        mean_state_dict([second, first], normalised_shares((t, 1 - t), 2)),
    ):
        torch.testing.assert_close(same["a"].double(), expected, rtol=1e-6, atol=1e-12)


@given(values=VALUES, shares=st.lists(st.floats(1e-300, 1e300), min_size=1, max_size=5), precision=PRECISIONS)
def test_mean_of_a_tensor_with_itself_is_equal(values, shares, precision):
    tensors = {"a": torch.tensor(values, dtype=precision)}
    mean = mean_state_dict([tensors] * len(shares), normalised_shares(shares, len(shares)))
    assert_same_tensors(mean, tensors)


@given(shares=st.lists(st.floats(min_value=0, exclude_min=True, allow_infinity=False), min_size=1, max_size=9))
def test_shares_sum_to_one(shares):
    assert sum(normalised_shares(shares, len(shares))) == pytest.approx(1, abs=1e-12)


# ---- metadata


def test_metadata_that_apply_to_the_mean_are_kept(files):
    first = files("a", 0, recipe="r.yaml", steps="9", source_sha256="0" * 64, names='{"0": "thing"}')
    second = files("b", 1, size="n", imgsz="448", sppf_activation="true", names='{"0": "object"}')
    mean = files.average(first, second)
    sources = [{"sha256": one.sha256, "share": 0.5} for one in (first, second)]
    assert json.loads(mean.metadata.pop("averaged_sha256")) == sources
    assert mean.metadata == {
        "size": "n",
        "imgsz": "448",
        "sppf_activation": "true",
        "names": '{"0": "thing"}',
        "averaged_by": f"streamseg {streamseg.__version__}",
    }


def test_imgsz_option(files):
    weights = [files("a", 0, imgsz="448"), files("b", 1, imgsz="512")]
    assert files.average(*weights, imgsz=512).metadata["imgsz"] == "512"
    assert files.average(files("c"), files("d"), imgsz=96).metadata["imgsz"] == "96"


def test_existing_file_is_replaced(files):
    (files.folder / "out.safetensors").write_text("old")
    assert_same_tensors(files.average(files("a"), files("a")).state_dict, tensors_of(0))
    assert files.names() == ["a.safetensors", "out.safetensors"]


# ---- the refiner


@pytest.mark.parametrize("half", [True, False], ids=["half precision", "single precision"])
@pytest.mark.parametrize("with_refiner_in", [(0,), (1,), (0, 1)], ids=["first", "second", "both equal"])
def test_only_refiner_is_copied_unchanged(files, with_refiner_in, half):
    refiner = refiner_tensors(half=half)
    descriptions = [{"refined_weights_sha256": f"ab{seed}", "refined_with": f"{seed}.yaml"} for seed in (0, 1)]
    weights = [
        files(str(seed), tensors=tensors_of(seed) | (refiner if seed in with_refiner_in else {}), **descriptions[seed])
        for seed in (0, 1)
    ]
    mean = files.average(*weights)
    assert_same_tensors({name: mean.state_dict[name] for name in refiner}, refiner)
    assert mean.refiner() is not None
    assert descriptions[with_refiner_in[0]].items() <= mean.metadata.items()
    assert mean.metadata["refiner_of_sha256"] == weights[with_refiner_in[0]].sha256
    plain = files.average(files("c", 0), files("d", 1), name="plain")
    assert plain.refiner() is None
    assert "refiner_of_sha256" not in plain.metadata
    assert_same_tensors(plain.state_dict, {n: t for n, t in mean.state_dict.items() if n not in refiner})


def test_refiner_can_be_selected_or_omitted(files):
    refiners = [refiner_tensors(seed) for seed in range(3)]
    weights = [files(str(seed), tensors=tensors_of(seed) | refiners[seed]) for seed in range(3)]
    for index in range(3):  # the last is not averaged
        mean = files.average(*weights[:2], refiner_of=weights[index])
        assert_same_tensors({name: mean.state_dict[name] for name in refiners[index]}, refiners[index])
    mean = files.average(*weights[:2], refiner_of="none")
    assert mean.refiner() is None
    assert not {"refiner_of_sha256", "refined_with"} & mean.metadata.keys()
    assert refiner_source(weights[:1]) is weights[0]
