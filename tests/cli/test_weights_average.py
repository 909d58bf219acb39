import pytest
import torch

from streamseg.cli.main import main
from streamseg.modeling.refiner import REFINER_PREFIX, Refiner
from streamseg.weights import load_weights, save_weights
from tests.support.checkpoints import TINY, tiny_network

pytestmark = pytest.mark.slow


@pytest.fixture
def files(tmp_path, monkeypatch):
    """Three networks without and with a refiner, and a damaged file, in the working directory."""
    monkeypatch.chdir(tmp_path)
    for seed, name, imgsz in ((0, "a", "448"), (1, "b", "448"), (2, "large", "512")):
        tensors = tiny_network(seed=seed).state_dict()
        save_weights(tensors, f"{name}.safetensors", metadata={"imgsz": imgsz})
        torch.manual_seed(seed)
        refiner = {REFINER_PREFIX + key: tensor for key, tensor in Refiner(TINY.num_masks).state_dict().items()}
        save_weights(tensors | refiner, f"{name}-refined.safetensors", metadata={"imgsz": imgsz})
    (tmp_path / "broken.safetensors").write_bytes((tmp_path / "a.safetensors").read_bytes()[:-10])
    return tmp_path


def average(words):
    """Run the command; names of files are given without their suffix."""
    names = ("a", "b", "large", "a-refined", "large-refined", "broken", "nowhere", "out", "new/out")
    return main(["weights", "average", *(f"{word}.safetensors" if word in names else word for word in words.split())])


@pytest.mark.parametrize(
    ("words", "shares", "line"),
    [
        pytest.param(
            "a b --out out",
            (0.5, 0.5),
            "0.5 x a.safetensors + 0.5 x b.safetensors -> {out}, without a refiner",
            id="plain",
        ),
        pytest.param(
            "a b --shares 1,3 --out out",
            (0.25, 0.75),
            "0.25 x a.safetensors + 0.75 x b.safetensors -> {out}, without a refiner",
            id="shares",
        ),
        pytest.param(
            "a-refined b --out new/out",
            (0.5, 0.5),
            "0.5 x a-refined.safetensors + 0.5 x b.safetensors -> {out}, with the refiner of a-refined.safetensors",
            id="only refiner, new folder",
        ),
        pytest.param(
            "a b --refiner-of large-refined --out out",
            (0.5, 0.5),
            "0.5 x a.safetensors + 0.5 x b.safetensors -> {out}, with the refiner of large-refined.safetensors",
            id="refiner of another file",
        ),
    ],
)
def test_average(files, capsys, words, shares, line):
    assert average(words) == 0
    out = next(path for path in files.rglob("out.safetensors"))
    size = f"{out.relative_to(files)} ({out.stat().st_size / 1e6:.1f} MB)"
    assert capsys.readouterr().out == line.format(out=size) + "\n"
    mean, first, second = (load_weights(path) for path in (out, "a.safetensors", "b.safetensors"))
    name = "model.22.proto.cv3.conv.weight"
    expected = shares[0] * first.state_dict[name].double() + shares[1] * second.state_dict[name].double()
    assert torch.equal(mean.state_dict[name], expected.float())
    assert (mean.refiner() is not None) == ("with the refiner" in line)
    assert main(["weights", "info", str(out)]) == 0
    assert "averaged_sha256: [" in capsys.readouterr().out


def test_options_reach_the_file(files):
    assert average("a-refined large-refined --refiner-of none --imgsz 480 --out out") == 0
    mean = load_weights(files / "out.safetensors")
    assert (mean.refiner(), mean.metadata["imgsz"]) == (None, "480")


@pytest.mark.parametrize(
    ("words", "message"),
    [
        pytest.param("a --out out", "averaging requires at least two weights files, got 1", id="one file"),
        pytest.param("a b --shares 1 --out out", "got 1 shares for 2 weights files", id="too few shares"),
        pytest.param("a b --shares 1,0 --out out", "positive finite numbers, got 0", id="share 0"),
        pytest.param("a b --shares=-1,2 --out out", "positive finite numbers, got -1", id="negative share"),
        pytest.param("a b --shares 1,nan --out out", "positive finite numbers, got nan", id="share nan"),
        pytest.param(
            "a b --shares 1;2 --out out", "numbers separated by commas, such as 1,1,2; got '1;2'", id="no numbers"
        ),
        pytest.param(
            "nowhere nowhere --shares 1,0 --out out", "positive finite numbers, got 0", id="shares come first"
        ),
        pytest.param("a broken --out out", "broken.safetensors is not a complete .safetensors file", id="damaged file"),
        pytest.param("a nowhere --out out", "no weights at nowhere.safetensors; allowed are", id="no file"),
        pytest.param(
            "a b --refiner-of nowhere --out out", "no weights at nowhere.safetensors", id="missing refiner file"
        ),
        pytest.param("a b --refiner-of b --out out", "b.safetensors has no refiner", id="no refiner"),
        pytest.param("a-refined large-refined --imgsz 448 --out out", "--refiner-of none", id="two refiners"),
        pytest.param("a large --out out", "has imgsz '448', large.safetensors has imgsz '512'; select", id="two sizes"),
        pytest.param("a large --imgsz 5000 --out out", "imgsz must be 32..4096, got 5000", id="absurd size"),
        pytest.param("a b --out a", "a.safetensors is the input a.safetensors", id="over an input"),
        pytest.param("a b --out out.onnx", "must be a .safetensors file, got out.onnx", id="another format"),
    ],
)
def test_mistakes_are_one_line(files, capsys, words, message):
    before = {path: path.read_bytes() for path in files.iterdir()}
    assert average(words) == 2
    printed, error = capsys.readouterr()
    assert message in error
    assert (printed, error.count("\n")) == ("", 1)
    assert {path: path.read_bytes() for path in files.iterdir()} == before


def test_without_out(files, capsys):
    with pytest.raises(SystemExit) as caught:
        average("a b")
    assert caught.value.code == 2
    assert "the following arguments are required: --out" in capsys.readouterr().err
