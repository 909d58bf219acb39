import json

import pytest

from streamseg.errors import WeightsError
from streamseg.text.description import DESCRIPTION, MAX_DESCRIPTION_BYTES, EncodersDescription
from tests.support.text_encoders import description


def written(folder, **changes):
    """Write `encoders.json` with changes; None omits a key."""
    fields = {**json.loads(description().model_dump_json()), **changes}
    (folder / DESCRIPTION).write_text(json.dumps({key: value for key, value in fields.items() if value is not None}))
    return folder


def test_written_description_is_read(tmp_path):
    assert EncodersDescription.read(written(tmp_path)) == description()


def test_missing_folder_or_file_error_names_the_fetch_command(tmp_path):
    for folder, reason in ((tmp_path / "none", "there is no folder"), (tmp_path, f"has no {DESCRIPTION}")):
        with pytest.raises(WeightsError, match=f"{reason}.*streamseg text export openai/clip") as caught:
            EncodersDescription.read(folder)
        assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("changes", "fault"),
    [
        pytest.param({"format": "weights"}, "format: ", id="format"),
        pytest.param({"version": 2}, "version: ", id="version"),
        pytest.param({"name": None}, "name: Field required", id="missing"),
        pytest.param({"colour": "red"}, "colour: Extra inputs", id="unknown key"),
        pytest.param({"image_size": "224"}, "image_size: ", id="text for a number"),
        pytest.param({"image_size": 224.5}, "image_size: ", id="fraction for an integer"),
        pytest.param({"image_size": 100_000}, "image_size: ", id="huge"),
        pytest.param({"mean": [0.5, 0.5]}, "mean.2: Field required", id="two channels"),
        pytest.param({"std": [0.5, 0.0, 0.5]}, "std.1: ", id="division by zero"),
        pytest.param({"logit_scale": float("nan")}, "logit_scale: ", id="nan"),
        pytest.param({"logit_scale": -1.0}, "logit_scale: ", id="negative scale"),
        pytest.param({"activation": "tanh"}, "activation: ", id="activation"),
        pytest.param({"resize": "magic"}, "resize: ", id="resize"),
        pytest.param({"template": "a photo"}, "template: must contain {} once", id="no placeholder"),
        pytest.param({"template": "{} and {}"}, "template: must contain {} once", id="two placeholders"),
        pytest.param({"template": "{{}} {0}"}, "template: must contain {} once", id="other braces"),
        pytest.param({"sha256": {}}, "sha256: missing image.onnx, text.onnx, tokenizer.json", id="no hashes"),
        pytest.param({"sha256": {"image.onnx": "a" * 64, "evil.so": "a" * 64}}, "sha256.evil.so", id="other file"),
        pytest.param({"sha256": dict.fromkeys(("image.onnx",), "0")}, "sha256.image.onnx: ", id="invalid hash"),
    ],
)
def test_each_fault_is_a_one_line_error(tmp_path, changes, fault):
    with pytest.raises(WeightsError) as caught:
        EncodersDescription.read(written(tmp_path, **changes))
    assert str(caught.value).startswith(f"{tmp_path / DESCRIPTION} is invalid: ")
    assert fault in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("contents", "fault"),
    [
        pytest.param(b"", "the file: ", id="empty"),
        pytest.param(b"[1, 2]", "the file: ", id="a list"),
        pytest.param(b"\xff\xfe", "the file: ", id="not text"),
        pytest.param(b"[" * 5000, "the file: ", id="deeply nested"),
        pytest.param(b" " * (MAX_DESCRIPTION_BYTES + 1), "bytes; at most", id="long"),
    ],
)
def test_invalid_contents(tmp_path, contents, fault):
    (tmp_path / DESCRIPTION).write_bytes(contents)
    with pytest.raises(WeightsError, match=fault):
        EncodersDescription.read(tmp_path)


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        pytest.param("Red Cup", "a photo of red cup", id="template and lowercase"),
        pytest.param("  a\n dog ", "a photo of a dog", id="white space"),
        pytest.param("A photo of a cat", "a photo of a cat", id="complete sentence"),
        pytest.param("{}", "a photo of {}", id="braces"),
    ],
)
def test_sentences(text, sentence):
    assert description().sentence(text) == sentence


def test_capitals_are_kept_for_case_sensitive_encoders():
    assert description(lowercase=False).sentence("Red") == "a photo of Red"
