"""`streamseg tiers`, and the tiers of `segment` and `label`."""

from __future__ import annotations

import json
from pathlib import Path

import cv2
import numpy as np
import pytest

from streamseg.cli.main import main
from tests.support.sam_graphs import Signature, write_pair
from tests.support.stages import seeded_weights


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("STREAMSEG_CACHE", str(tmp_path / "cache"))
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def image(cache: Path) -> Path:
    pixels = np.full((96, 128, 3), 90, np.uint8)
    cv2.rectangle(pixels, (30, 20), (90, 70), (220, 180, 40), -1)
    cv2.imwrite(str(cache / "a.png"), pixels)
    return cache / "a.png"


def test_list(cache: Path, capsys: pytest.CaptureFixture[str]):
    assert main(["tiers"]) == 0
    out = capsys.readouterr().out
    assert "sam2.1-tiny       quality, memory  missing  hf download facebook/sam2.1-hiera-tiny --local-dir" in out
    assert "licence of edge-sam: NTU S-Lab License 1.0, not for commercial use" in out
    assert "edgetam needs timm and torchvision, too" in out
    assert "not confirmed for sam2.1-base-plus: whether the repository has the files" in out
    assert "their hashes are not known" in out
    folder = cache / "cache" / "tiers" / "edgetam"
    folder.mkdir(parents=True)
    (folder / "config.json").write_text("{}")
    assert main(["weights", "list"]) == 0
    assert "edgetam           quality, memory  present" in capsys.readouterr().out


@pytest.mark.slow
def test_segment_with_a_pair(cache: Path, image: Path, capsys: pytest.CaptureFixture[str]):
    from streamseg.tiers.quality.onnx_variants import VARIANTS

    write_pair(cache / "pair", Signature(VARIANTS[0], is_batched=True))
    weights = ["--weights", str(seeded_weights(confident=True)), "--imgsz", "64", "--conf", "0.05", "--max_det", "3"]
    assert main(["segment", str(image), "--quality", "pair", "--out", "better", *weights]) == 0
    assert "quality tier, pair: working, objects: " in capsys.readouterr().out
    assert main(["segment", str(image), "--out", "plain", *weights]) == 0
    better, plain = (
        json.loads((cache / name / "instances.json").read_text())["annotations"] for name in ("better", "plain")
    )
    assert len(better) == len(plain)


@pytest.mark.slow
def test_everything_by_a_grid(cache: Path, image: Path, capsys: pytest.CaptureFixture[str]):
    from streamseg.tiers.quality.onnx_variants import VARIANTS

    write_pair(cache / "pair", Signature(VARIANTS[0], is_batched=True))
    flags = ["--min-iou", "0", "--min-stability", "0", "--points-per-side", "2", "--out", "grid"]
    assert main(["segment", str(image), "--everything", "--model", "pair", *flags]) == 0
    assert "1 frame" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        pytest.param(["segment", "a.png", "--everything"], "--everything and --model belong together", id="no-model"),
        pytest.param(
            ["segment", "a.png", "--model", "sam-vit-b"], "--everything and --model belong together", id="alone"
        ),
        pytest.param(
            ["segment", "a.png", "--everything", "--model", "pair", "--points-per-side", "0"],
            "--points-per-side must be 1 to 256, got 0",
            id="points",
        ),
        pytest.param(
            ["segment", "a.png", "--everything", "--model", "pair", "--min-iou", "2"],
            "--min-iou must be 0 to 1",
            id="iou",
        ),
        pytest.param(["segment", "a.png", "--quality", "sam-vit-b"], "hf download facebook/sam-vit-base", id="missing"),
        pytest.param(
            ["segment", "a.png", "--quality", "x", "--mode", "fastsam"],
            "--quality requires --mode streamseg",
            id="fastsam",
        ),
        pytest.param(["tiers", "export", "mobile-sam"], "the weights of mobile-sam are not in", id="export-missing"),
        pytest.param(["tiers", "export", "a.png"], "is not a folder", id="export-a-file"),
        pytest.param(["tiers", "export", "."], "has a model of type None", id="export-no-model"),
    ],
)
def test_bad_arguments(
    arguments: list[str], message: str, cache: Path, image: Path, capsys: pytest.CaptureFixture[str]
):
    assert main(arguments) == 2
    assert message in capsys.readouterr().err
    assert sorted(path.name for path in cache.iterdir() if path.name != "cache") == ["a.png"], "nothing is written"


@pytest.mark.slow
def test_export(cache: Path, capsys: pytest.CaptureFixture[str]):
    pytest.importorskip("transformers", reason="the tiers need transformers")
    from tests.support.sam_models import small_model

    small_model("sam2").save_pretrained(cache / "small")
    assert main(["tiers", "export", "small", "--out", "graphs"]) == 0
    assert "graphs: " in capsys.readouterr().out
    assert sorted(path.name for path in (cache / "graphs").iterdir()) == [
        "decoder.onnx", "encoder.onnx", "preprocessor_config.json"
    ]  # fmt: skip
