import argparse
import json
import sys
from importlib.machinery import ModuleSpec
from importlib.util import find_spec
from types import ModuleType

import numpy as np
import pytest
import torch
from torch import nn

from streamseg.cli import text
from streamseg.cli.entry import execute
from streamseg.cli.main import main
from streamseg.errors import WeightsError
from streamseg.text import encoders_folder, load_encoders
from streamseg.text.export import export_encoders
from streamseg.text.pretrained import PretrainedEncoders
from tests.support.text_encoders import (
    DIM,
    END,
    LENGTH,
    SIZE,
    ColourEncoder,
    WordEncoder,
    description_fields,
    make_encoders,
    tiny_tokenizer,
)


def test_exported_graphs_equal_torch(tmp_path):
    written = export_encoders(
        ColourEncoder(), WordEncoder(), tiny_tokenizer(), tmp_path / "a" / "b", **description_fields()
    )
    assert max(written.image_difference, written.text_difference) < 1e-5
    assert {path.name for path in written.folder.iterdir()} == {
        "encoders.json",
        "image.onnx",
        "text.onnx",
        "tokenizer.json",
    }
    assert written.num_bytes < 10_000
    images = np.random.default_rng(0).integers(0, 256, (3, SIZE, SIZE, 3), dtype=np.uint8)
    expected = nn.functional.normalize(ColourEncoder()(torch.from_numpy(images).permute(0, 3, 1, 2) / 255), dim=1)
    np.testing.assert_allclose(load_encoders(written.folder).embed_images(images), expected, atol=1e-5)


def test_existing_folder_is_replaced_entirely(tmp_path):
    folder = make_encoders(tmp_path / "tiny")
    (folder / "leftover").write_text("x")
    make_encoders(folder, name="other")
    assert load_encoders(folder).description.name == "other"
    assert not (folder / "leftover").exists()
    assert [path.name for path in tmp_path.iterdir()] == ["tiny"]


def test_half_precision_has_float32_inputs_and_outputs(tmp_path):
    linear = nn.Sequential(nn.Flatten(), nn.Linear(3 * SIZE * SIZE, DIM, bias=False))
    written = export_encoders(
        linear, WordEncoder(), tiny_tokenizer(), tmp_path / "half", half=True, **description_fields()
    )
    assert 0 < written.image_difference < 0.02
    assert (tmp_path / "half" / "image.onnx").stat().st_size < 2.5 * DIM * 3 * SIZE * SIZE
    assert load_encoders(tmp_path / "half").embed_texts(["red"]).dtype == np.float32


class Unsteady(ColourEncoder):
    """An encoder whose result changes with each call."""

    num_calls = 0

    def forward(self, pixels):
        self.num_calls += 1
        return super().forward(pixels) + torch.tensor([0.0, 0.0, 0.0, float(self.num_calls)])


@pytest.mark.parametrize(
    ("image", "changes", "fault"),
    [
        pytest.param(ColourEncoder(), {"mean": [0.5]}, "invalid encoders: mean.1: Field required", id="fields"),
        pytest.param(ColourEncoder(), {"embedding_dim": DIM + 1}, r"must return \(1, 5\)", id="dimension"),
        pytest.param(Unsteady(), {}, "the graphs of tiny differ from torch by", id="different graph"),
    ],
)
def test_failed_export_writes_nothing(tmp_path, image, changes, fault):
    make_encoders(tmp_path / "tiny", name="before")
    with pytest.raises(WeightsError, match=fault):
        export_encoders(image, WordEncoder(), tiny_tokenizer(), tmp_path / "tiny", **description_fields(**changes))
    assert [path.name for path in tmp_path.iterdir()] == ["tiny"]
    assert load_encoders(tmp_path / "tiny").description.name == "before"


def test_unwritable_folder_is_an_error(tmp_path):
    (tmp_path / "file").write_text("x")
    with pytest.raises(WeightsError, match=r"cannot write .*file/tiny"):
        make_encoders(tmp_path / "file" / "tiny")


# ---- the subcommand


def run_export(*arguments):
    return main(["text", "export", *map(str, arguments)])


def test_export_help(capsys):
    with pytest.raises(SystemExit) as caught:
        run_export("--help")
    assert caught.value.code == 0
    assert "openai/clip-vit-base-patch32" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("model", "missing", "fault"),
    [
        pytest.param("open_clip:ViT-B-32", [], "models must be open_clip:NAME/PRETRAINED, got 'open", id="no weights"),
        pytest.param("open_clip:/x", [], "models must be open_clip:NAME/PRETRAINED, got 'open", id="no architecture"),
        pytest.param("openai/clip", ["transformers"], "exporting openai/clip needs transformers,", id="transformers"),
        pytest.param("open_clip:a/b", ["open_clip"], "run: pip install open_clip_torch", id="open_clip"),
    ],
)
def test_export_faults_are_one_line(tmp_path, capsys, monkeypatch, model, missing, fault):
    for library in missing:
        monkeypatch.setitem(sys.modules, library, None)
    assert run_export(model, "--out", tmp_path / "out") == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("streamseg: ")
    assert fault in line
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("model", ["openai/clip", "open_clip:a/b"])
def test_failing_library_is_one_line(capsys, monkeypatch, model):
    for name in ("transformers", "open_clip"):
        library = ModuleType(name)
        library.__spec__ = ModuleSpec(name, None)
        library.create_model = refuse
        monkeypatch.setitem(sys.modules, name, library)
    assert run_export(model) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith(f"streamseg: cannot load {model}: ")


def refuse(name, pretrained):
    raise RuntimeError(f"Model config for {name} not found; pretrained {pretrained}\nof no model.")


def pretrained(name):
    fields = description_fields()
    for key in ("name", "licence", "lowercase", "embedding_dim", "template"):
        fields.pop(key, None)
    return PretrainedEncoders(ColourEncoder(), WordEncoder(), tiny_tokenizer(), fields)


@pytest.mark.parametrize(
    ("flags", "licence", "template"),
    [
        pytest.param([], "MIT", "a photo of {}", id="defaults"),
        pytest.param(["--licence", "none", "--template", "some {}"], "none", "some {}", id="own"),
    ],
)
def test_export_writes_encoders_that_load(tmp_path, capsys, flags, licence, template):
    parser = argparse.ArgumentParser()
    text.add_parser(parser.add_subparsers(), pretrained)
    words = ["text", "export", "openai/clip-vit-base-patch32", "--out", str(tmp_path / "out"), *flags]
    assert execute(parser.parse_args(words)) == 0
    written = load_encoders(tmp_path / "out").description
    assert (written.name, written.licence, written.template) == ("openai/clip-vit-base-patch32", licence, template)
    assert written.embedding_dim == DIM
    assert f"{tmp_path / 'out'}: 0.0 MB, licence {licence}" in capsys.readouterr().out


@pytest.mark.parametrize("words", [["text"], ["text", "show"]])
def test_show(tmp_path, capsys, monkeypatch, words):
    monkeypatch.setenv("STREAMSEG_CACHE", str(tmp_path))
    assert main(words) == 2
    assert "run `streamseg text export openai/clip-vit-base-patch32`" in capsys.readouterr().err
    folder = make_encoders(encoders_folder())
    assert main(words) == 0
    assert capsys.readouterr().out == f"tiny, licence none, in {folder}\n"


@pytest.mark.skipif(find_spec("transformers") is None, reason="transformers is not installed")
@pytest.mark.parametrize(("kind", "activation"), [("clip", "softmax"), ("siglip", "sigmoid")])
def test_models_of_transformers(tmp_path, kind, activation):
    import transformers
    from tokenizers import Tokenizer

    small = {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2, "num_attention_heads": 4}
    vision = {**small, "image_size": 32, "patch_size": 8}
    text = {**small, "vocab_size": 20, "max_position_embeddings": LENGTH, "eos_token_id": END, "pad_token_id": END}
    torch.manual_seed(0)
    if kind == "clip":
        config = transformers.CLIPConfig(vision_config=vision, text_config=text, projection_dim=16)
        model = transformers.CLIPModel(config)
    else:
        model = transformers.SiglipModel(transformers.SiglipConfig(vision_config=vision, text_config=text))
    model.save_pretrained(tmp_path / kind)
    transformers.PreTrainedTokenizerFast(
        tokenizer_object=Tokenizer.from_buffer(tiny_tokenizer()), pad_token="<end>", eos_token="<end>"
    ).save_pretrained(tmp_path / kind)
    preprocessing = {"image_mean": [0.5] * 3, "image_std": [0.5] * 3, "resample": 3}
    (tmp_path / kind / "preprocessor_config.json").write_text(json.dumps(preprocessing))
    assert run_export(tmp_path / kind, "--out", tmp_path / "out", "--licence", "none") == 0
    encoders = load_encoders(tmp_path / "out")
    assert encoders.description.activation == activation
    assert encoders.description.context_length == LENGTH
    assert encoders.description.licence == "none"
    with torch.inference_mode():
        pixels = torch.zeros(1, 3, 32, 32)
        expected = model.eval().get_image_features(pixel_values=pixels)
    expected = getattr(expected, "pooler_output", expected)
    found = encoders.embed_images(np.full((1, 32, 32, 3), 127.5, np.uint8))
    assert float(nn.functional.cosine_similarity(torch.from_numpy(found), expected)) > 0.99
