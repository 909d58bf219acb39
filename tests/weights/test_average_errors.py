"""Weights that cannot be averaged, and options and outputs that are refused."""

from dataclasses import replace

import pytest
import torch

from streamseg.errors import ConfigError, WeightsError
from streamseg.weights.average import average_weights
from tests.support.averaging import Files, refiner_tensors, tensors_of
from tests.support.checkpoints import TINY

pytestmark = pytest.mark.slow

VARIANCE = "model.0.bn.running_var"


@pytest.fixture
def files(tmp_path):
    return Files(tmp_path)


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
