import hashlib
import json
import shutil
import subprocess
import sys

import numpy as np
import pytest
import torch

from streamseg.errors import EngineError, WeightsError
from streamseg.text.encoders import MAX_BATCH, encoders_folder, load_encoders
from tests.support.text_encoders import DIM, SIZE, make_encoders

RED, GREEN = (255, 0, 0), (0, 255, 0)


def plain(*colours):
    return np.array(colours, np.uint8)[:, None, None].repeat(SIZE, 1).repeat(SIZE, 2)


@pytest.fixture(scope="session")
def made(tmp_path_factory):
    return make_encoders(tmp_path_factory.mktemp("encoders") / "tiny")


@pytest.fixture
def folder(made, tmp_path):
    """Copy of the encoders that a test may break."""
    return shutil.copytree(made, tmp_path / "tiny")


@pytest.fixture
def encoders(made):
    return load_encoders(made)


def test_colours_and_their_names_are_similar(encoders):
    images = encoders.embed_images(plain(RED, GREEN))
    texts = encoders.embed_texts(["a photo of red cup", "a photo of green cup"])
    cosines = images @ texts.T
    assert (cosines.argmax(axis=1) == [0, 1]).all()
    assert cosines[0, 0] > 0.9 > 0.5 > cosines[0, 1]


def test_embeddings_have_length_1_and_any_number_of_rows(encoders):
    for num in (0, 1, MAX_BATCH + 3):
        images = encoders.embed_images(plain(RED).repeat(num, axis=0))
        texts = encoders.embed_texts([f"{number} red" for number in range(num)])
        assert images.shape == texts.shape == (num, DIM)
        assert images.dtype == texts.dtype == np.float32
        np.testing.assert_allclose(np.linalg.norm(images, axis=1), 1, rtol=1e-5)
        np.testing.assert_allclose(np.linalg.norm(texts, axis=1), 1, rtol=1e-5)


def test_text_is_embedded_once(encoders):
    calls = []
    session = encoders.text_session

    class Counting:
        def get_inputs(self):
            return session.get_inputs()

        def run(self, outputs, inputs):
            calls.append(len(inputs["input_ids"]))
            return session.run(outputs, inputs)

    encoders.text_session = Counting()
    assert not encoders.is_text_cached("red")
    first = encoders.embed_texts(["red", "blue", "red"])
    again = encoders.embed_texts(["blue", "red", "green"])
    assert calls == [2, 1]
    assert encoders.is_text_cached("red")
    np.testing.assert_array_equal(first[0], again[1])


def test_long_texts_are_truncated_and_keep_their_end_token(encoders):
    np.testing.assert_allclose(encoders.embed_texts(["red " * 60])[0], encoders.embed_texts(["red " * 10])[0])


def test_images_of_another_size_are_rejected(encoders):
    for shape in ((1, SIZE, SIZE + 1, 3), (SIZE, SIZE, 3)):
        with pytest.raises(ValueError, match="crops must be"):
            encoders.embed_images(np.zeros(shape, np.uint8))


def test_default_folder_is_in_the_cache(monkeypatch, tmp_path):
    monkeypatch.setenv("STREAMSEG_CACHE", str(tmp_path))
    assert encoders_folder() == tmp_path / "text" / "default"
    assert encoders_folder("there") == encoders_folder("there").relative_to(".")


def replace_file(folder, name, contents):
    """Replace a file and its hash."""
    (folder / name).write_bytes(contents)
    change_description(folder, lambda fields: fields["sha256"].update({name: hashlib.sha256(contents).hexdigest()}))


def change_description(folder, change):
    fields = json.loads((folder / "encoders.json").read_text())
    change(fields)
    (folder / "encoders.json").write_text(json.dumps(fields))


@pytest.mark.parametrize(
    ("spoil", "fault"),
    [
        pytest.param(lambda f: (f / "text.onnx").unlink(), r"cannot read .*text.onnx: No such file", id="missing"),
        pytest.param(
            lambda f: (f / "image.onnx").write_bytes(b"x"), r"image.onnx has the SHA-256 .*damaged", id="hash"
        ),
        pytest.param(
            lambda f: (f / "tokenizer.json").write_bytes(b"{}"), "tokenizer.json has the SHA-256", id="tokenizer hash"
        ),
        pytest.param(lambda f: replace_file(f, "image.onnx", b"x" * 99), "is not a usable ONNX graph", id="no graph"),
        pytest.param(
            lambda f: replace_file(f, "tokenizer.json", b"{}"), "tokenizer.json is not a tokenizer", id="no tokenizer"
        ),
        pytest.param(
            lambda f: replace_file(f, "image.onnx", (f / "text.onnx").read_bytes()),
            r"image.onnx takes input_ids tensor\(int64\).*must take one tensor\(float\) with 4 axes",
            id="swapped",
        ),
        pytest.param(
            lambda f: change_description(f, lambda fields: fields.update(embedding_dim=5)),
            r"returns float32 \(1, 4\)",
            id="dimension",
        ),
        pytest.param(
            lambda f: change_description(f, lambda fields: fields.update(pad_id=999)),
            "text.onnx of tiny cannot be run",
            id="pad id",
        ),
    ],
)
def test_broken_folder_is_a_one_line_error(folder, spoil, fault, capfd):
    spoil(folder)
    with pytest.raises(WeightsError, match=fault) as caught:
        load_encoders(folder)
    assert "\n" not in str(caught.value)
    assert capfd.readouterr().err == ""


def test_unavailable_device_is_an_error(made):
    with pytest.raises(EngineError, match="cannot use device 'cuda:63'"):
        load_encoders(made, device="cuda:63")


@pytest.mark.skipif(torch.cuda.is_available(), reason="is about machines without CUDA")
def test_auto_falls_back_to_the_cpu_with_a_warning(made, monkeypatch, caplog):
    monkeypatch.setattr("streamseg.text.encoders._has_cuda", lambda: True)
    found = load_encoders(made)
    assert "running the text encoders on the CPU: " in caplog.text
    assert "cannot use device 'cuda'" in caplog.text
    assert len(found.embed_texts(["a dog"])) == 1


@pytest.mark.slow
def test_missing_package_error_names_what_to_install(made):
    # A separate process, in which the package cannot be found.
    code = (
        "import sys; sys.modules['tokenizers'] = None\n"
        "from importlib import util\n"
        "from streamseg.errors import ConfigError\n"
        "from streamseg.text import load_encoders\n"
        f"try:\n    load_encoders({str(made)!r})\n"
        "except ConfigError as error:\n    print(error)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "text prompts require the package tokenizers: pip install 'streamseg[text]'\n"
