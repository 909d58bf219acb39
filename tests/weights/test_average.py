import functools
import json
from dataclasses import dataclass, replace

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

import streamseg
from streamseg.errors import ConfigError, WeightsError
from streamseg.modeling.refiner import REFINER_PREFIX, Refiner
from streamseg.weights import load_weights, save_weights
from streamseg.weights.average import average_weights, mean_state_dict, normalised_shares, refiner_source
from tests.support.checkpoints import TINY, official_checkpoint, tiny_network

pytestmark = pytest.mark.slow

COUNTER = "model.0.bn.num_batches_tracked"
VARIANCE = "model.0.bn.running_var"
BINS = "model.22.dfl.conv.weight"


@functools.cache
def tensors_of(seed=0, config=TINY):
    return tiny_network(seed=seed, config=config).state_dict()


def refiner_tensors(seed=1, *, num_masks=TINY.num_masks, half=False, rounded=False):
    """Tensors of a random refiner. `rounded`: values rounded to half precision, stored in single precision."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        refiner = Refiner(num_masks).state_dict()
    stored = {name: tensor.half() if half or rounded else tensor for name, tensor in refiner.items()}
    return {REFINER_PREFIX + name: tensor.float() if rounded else tensor for name, tensor in stored.items()}


@dataclass
class Files:
    """Small weights files in one folder."""

    folder: object

    def __call__(self, name="a", seed=0, *, tensors=None, half=False, **metadata):
        """Write and load a file."""
        path = self.folder / f"{name}.safetensors"
        return load_weights(save_weights(tensors or tensors_of(seed), path, metadata=metadata, half=half))

    def average(self, *weights, name="out", **options):
        return load_weights(average_weights(weights, self.folder / f"{name}.safetensors", **options))

    def names(self):
        return sorted(path.name for path in self.folder.iterdir())


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


# ---- errors


def with_refiner(files, name, seed, **options):
    return files(name, tensors=tensors_of(0) | refiner_tensors(seed, **options))


def other_network(files, **changes):
    return [files(), files("b", tensors=tensors_of(1, replace(TINY, **changes)))]


def without_variance():
    return {name: tensor for name, tensor in tensors_of(1).items() if name != VARIANCE}


@pytest.mark.parametrize(
    ("sources", "message"),
    [
        pytest.param(
            lambda f: other_network(f, channels=(8, 8, 16, 32, 72)),
            r"channels \(8, 8, 16, 32, 64\) and \(8, 8, 16, 32, 72\); average networks of one architecture",
            id="other widths",
        ),
        pytest.param(
            lambda f: other_network(f, channels=(16, 32, 64, 128, 256), prototype_channels=64),
            r"a\.safetensors and .*b\.safetensors have different architectures: size custom and n;",
            id="other size",
        ),
        pytest.param(lambda f: other_network(f, repeats=(2, 2)), r"repeats \(1, 2\) and \(2, 2\)", id="deeper"),
        pytest.param(lambda f: other_network(f, num_classes=80), "num_classes 1 and 80", id="other classes"),
        pytest.param(
            lambda f: other_network(f, prototype_channels=24),
            r"architectures: tensor 'model\.22\.proto\.cv1\.\S+' of shape \(16,.* and \(24,",
            id="other shape",
        ),
        pytest.param(
            lambda f: [f(), f("b", 1, sppf_activation="false")], "activation True and False", id="other activation"
        ),
        pytest.param(
            lambda f: [f(), f("b", tensors=without_variance())],
            r"b\.safetensors: tensors missing: model\.0\.bn\.running_var$",
            id="missing tensor",
        ),
        pytest.param(
            lambda f: [f(), f("b", tensors=without_variance() | {VARIANCE: torch.ones(9)})],
            r"b\.safetensors: tensors of the wrong shape: model\.0\.bn\.running_var is \(9,\), not \(8,\)",
            id="tensor of the wrong shape",
        ),
        pytest.param(
            lambda f: [f("b", tensors={"layer1.weight": torch.zeros(2)}), f()],
            r"b\.safetensors: these are not the weights of a YOLOv8-seg network",
            id="not a network",
        ),
        pytest.param(
            lambda f: [f(half=True), f("b", tensors=tensors_of(1) | {VARIANCE: torch.full((8,), 1e6)})],
            r"'model\.0\.bn\.running_var' has values that are not finite in torch\.float16; not saved",
            id="beyond half precision",
        ),
        pytest.param(
            lambda f: [f("a", 0, size="n"), f("b", 1), f("c", 2, size="s")],
            r"a\.safetensors has size 'n', .*c\.safetensors has size 's'; one of them is wrong",
            id="other size in the metadata",
        ),
        pytest.param(
            lambda f: [f("a", 0, imgsz="448"), f("b", 1, imgsz="512")],
            r"a\.safetensors has imgsz '448', .*b\.safetensors has imgsz '512'; select the value .* with --imgsz",
            id="other imgsz",
        ),
        pytest.param(
            lambda f: [with_refiner(f, "a", 1), with_refiner(f, "b", 2)],
            r"a\.safetensors and .*b\.safetensors have different refiners, .* or none with --refiner-of none",
            id="two refiners",
        ),
        pytest.param(
            lambda f: [with_refiner(f, "a", 1, half=True), with_refiner(f, "b", 1, rounded=True)],
            "have different refiners",
            id="one refiner in two precisions",
        ),
        pytest.param(
            lambda f: [with_refiner(f, "a", 1, num_masks=16), f("b", 1)],
            r"refiner of .*a\.safetensors does not fit networks with 32 prototypes \(tensor 'refiner\.project\.weight'",
            id="refiner for 16 prototypes",
        ),
    ],
)
def test_networks_that_cannot_be_averaged(files, sources, message):
    weights = sources(files)
    before = files.names()
    with pytest.raises(WeightsError, match=message) as caught:
        files.average(*weights)
    assert "\n" not in str(caught.value)
    assert files.names() == before


@pytest.mark.parametrize(
    ("count", "options", "message"),
    [
        pytest.param(0, {}, "at least two weights files, got 0", id="no file"),
        pytest.param(1, {}, "at least two weights files, got 1", id="one file"),
        pytest.param(2, {"shares": ()}, "got 0 shares for 2 weights files", id="no shares"),
        pytest.param(2, {"shares": (1,)}, "got 1 shares for 2 weights files", id="too few shares"),
        pytest.param(2, {"shares": (1, 1, 2)}, "got 3 shares for 2 weights files", id="too many shares"),
        pytest.param(2, {"shares": (1, 0)}, "must be positive finite numbers, got 0; omit files", id="share 0"),
        pytest.param(2, {"shares": (1, -0.5)}, "must be positive finite numbers, got -0.5;", id="negative share"),
        pytest.param(2, {"shares": (1, float("nan"))}, "must be positive finite numbers, got nan;", id="share nan"),
        pytest.param(2, {"shares": (float("inf"), 1)}, "must be positive finite numbers, got inf;", id="share inf"),
        pytest.param(2, {"imgsz": 31}, r"imgsz must be 32\.\.4096, got 31", id="imgsz too small"),
        pytest.param(2, {"imgsz": 4097}, r"imgsz must be 32\.\.4096, got 4097", id="imgsz too large"),
    ],
)
def test_invalid_options(files, count, options, message):
    with pytest.raises(ConfigError, match=message) as caught:
        files.average(*[files()] * count, **options)
    assert "\n" not in str(caught.value)
    assert files.names() == ["a.safetensors"]


def test_selected_refiner_is_missing_or_does_not_fit(files):
    with pytest.raises(
        WeightsError, match=r"b\.safetensors has no refiner; specify a file with one, or --refiner-of none"
    ):
        files.average(with_refiner(files, "a", 1), files("b", 1), refiner_of=files("b", 1))
    other = files("c", tensors=tensors_of(0, replace(TINY, num_masks=16)) | refiner_tensors(num_masks=16))
    with pytest.raises(WeightsError, match=r"refiner of .*c\.safetensors does not fit networks with 32 prototypes"):
        files.average(files("a"), files("b", 1), refiner_of=other)
    assert "out.safetensors" not in files.names()


def link_to(path):
    link = path.with_name("link.safetensors")
    link.symlink_to(path)
    return link


@pytest.mark.parametrize("place", [lambda path: path, link_to], ids=["itself", "symlink"])
@pytest.mark.parametrize("which", [0, 1, 2], ids=["first", "second", "refiner"])
def test_input_files_are_not_overwritten(files, which, place):
    weights = [files("a"), files("b", 1), with_refiner(files, "c", 1)]
    out = place(weights[which].path)
    before = weights[which].path.read_bytes()
    with pytest.raises(WeightsError, match=r"is the input .*; choose another output"):
        average_weights(weights[:2], out, refiner_of=weights[2])
    assert weights[which].path.read_bytes() == before


def test_invalid_outputs(files):
    weights = [files("a"), files("b", 1)]
    with pytest.raises(WeightsError, match=r"must be a \.safetensors file, got .*out\.pt"):
        average_weights(weights, files.folder / "out.pt")
    with pytest.raises(WeightsError, match=r"cannot write .*: "):
        average_weights(weights, weights[0].path / "out.safetensors")
    (files.folder / "out.safetensors").mkdir()
    with pytest.raises(WeightsError, match=r"cannot write .*: "):
        files.average(*weights)
    assert files.names() == ["a.safetensors", "b.safetensors", "out.safetensors"]
