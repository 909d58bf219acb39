"""Detectors of transformers: their outputs decoded as by their processors, and small random models from folders."""

from __future__ import annotations

from importlib import import_module
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch

from streamseg.geometry import box_iou
from streamseg.tiers.words.grounding import GroundingDino, OmDetTurbo, Sam3Words, token_spans
from streamseg.tiers.words.loading import load_detector
from tests.support import grounding_models
from tests.support.grounding_models import image_processor, word_tokenizer

SIZE = (60, 120)
IMAGE = np.random.default_rng(0).integers(0, 255, (*SIZE, 3), dtype=np.uint8)
TEXTS = ("a red cup", "dog")


def logit(share: float) -> float:
    return float(np.log(share / (1 - share)))


def random_boxes(count: int) -> torch.Tensor:
    """Return relative boxes (1, N, 4), centre and size."""
    generator = torch.Generator().manual_seed(3)
    return torch.cat(
        [torch.rand(1, count, 2, generator=generator), torch.rand(1, count, 2, generator=generator) / 2], dim=2
    )


@pytest.mark.parametrize(
    ("texts", "spans"),
    [
        pytest.param(["dog"], [(1, 2)], id="one-word"),
        pytest.param(["a red cup", "dog"], [(1, 4), (5, 6)], id="several-words"),
        pytest.param(["A Red  Cup"], [(1, 4)], id="case-and-spaces"),
        pytest.param(["a.cup", "dog"], [(1, 3), (4, 5)], id="a-full-stop-inside"),
        pytest.param([".", "dog"], [(0, 0), (2, 3)], id="nothing-but-a-full-stop"),
        pytest.param(["dog", "dog"], [(1, 2), (3, 4)], id="twice"),
    ],
)
def test_the_tokens_of_each_text(texts: list[str], spans: list[tuple[int, int]]):
    tokens, found = token_spans(word_tokenizer(), texts)
    assert found == spans
    assert set(tokens) == {"input_ids", "attention_mask", "token_type_ids"}
    for text, (start, stop) in zip(texts, found, strict=True):
        words = text.replace(".", " ").lower().split()
        assert word_tokenizer().convert_ids_to_tokens(tokens["input_ids"][0, start:stop].tolist()) == words


def test_grounding_dino_is_decoded_as_by_its_processor():
    transformers = pytest.importorskip("transformers", reason=grounding_models.WITHOUT_TRANSFORMERS)
    tokenizer = word_tokenizer()
    tokens, spans = token_spans(tokenizer, TEXTS)
    logits = torch.full((1, 40, 32), -20.0)
    generator = torch.Generator().manual_seed(0)
    for start, stop in spans:
        logits[0, :, start:stop] = torch.randn(40, stop - start, generator=generator) * 2
    output = SimpleNamespace(logits=logits, pred_boxes=random_boxes(40), input_ids=tokens["input_ids"])
    processor = transformers.GroundingDinoProcessor(image_processor(), tokenizer)
    (expected,) = processor.post_process_grounded_object_detection(
        output, threshold=0.4, text_threshold=0.99, target_sizes=[SIZE]
    )
    found = GroundingDino(None, image_processor(), tokenizer).decode(output, spans, SIZE, 0.4)
    order = expected["scores"].argsort(descending=True)
    assert len(found) == len(order) > 10
    np.testing.assert_allclose(found.scores, expected["scores"][order], atol=1e-6)
    boxes = expected["boxes"][order].clamp(min=0).minimum(torch.tensor([120.0, 60.0, 120.0, 60.0]))
    np.testing.assert_allclose(found.boxes, boxes, atol=1e-3)
    best = logits[0].argmax(dim=1)[logits[0].sigmoid().max(dim=1).values > 0.4][order]
    assert found.texts.tolist() == [0 if token < spans[0][1] else 1 for token in best.tolist()]


def test_omdet_turbo_is_decoded_as_by_its_processor(monkeypatch: pytest.MonkeyPatch):
    pytest.importorskip("transformers", reason=grounding_models.WITHOUT_TRANSFORMERS)
    output = SimpleNamespace(
        decoder_coord_logits=random_boxes(40),
        decoder_class_logits=torch.randn(1, 40, 2, generator=torch.Generator().manual_seed(0)),
    )
    module = import_module("transformers.models.omdet_turbo.processing_omdet_turbo")
    # The processor takes this function from torchvision, which may not be installed.
    monkeypatch.setattr(module, "batched_nms", plain_batched_nms, raising=False)
    scores, labels = module.compute_score(output.decoder_class_logits)
    boxes, kept, texts = module._post_process_boxes_for_image(
        output.decoder_coord_logits[0], scores[0], labels, 2, SIZE, 0.3, 0.5
    )
    order = kept.argsort(descending=True)
    found = OmDetTurbo(None, None, None).decode(output, 2, SIZE, 0.3)
    assert len(found) == len(kept) > 10
    np.testing.assert_allclose(found.scores, kept[order], atol=1e-6)
    np.testing.assert_allclose(found.boxes, boxes[order], atol=1e-3)
    assert found.texts.tolist() == texts[order].tolist()


def plain_batched_nms(boxes: torch.Tensor, scores: torch.Tensor, labels: torch.Tensor, iou: float) -> torch.Tensor:
    """Return the rows (M,) left by greedy suppression within each label, pair by pair."""
    kept: list[int] = []
    for row in scores.argsort(descending=True, stable=True).tolist():
        rivals = [one for one in kept if labels[one] == labels[row]]
        if all(box_iou(boxes[[row]], boxes[[one]]).item() <= iou for one in rivals):
            kept.append(row)
    return torch.tensor(kept, dtype=torch.int64)


def test_omdet_turbo_planted():
    coordinates = torch.tensor([[[0.25, 0.5, 0.5, 1.0], [0.25, 0.5, 0.49, 1.0], [0.75, 0.5, 0.5, 1.0]]])
    scores = torch.tensor([[[logit(0.9), logit(0.1)], [logit(0.8), logit(0.1)], [logit(0.1), logit(0.7)]]])
    output = SimpleNamespace(decoder_coord_logits=coordinates, decoder_class_logits=scores)
    found = OmDetTurbo(None, None, None).decode(output, 2, SIZE, 0.3)
    np.testing.assert_allclose(found.boxes, [[0, 0, 60, 60], [60, 0, 120, 60]], atol=1e-4)
    np.testing.assert_allclose(found.scores, [0.9, 0.7], atol=1e-6)
    assert found.texts.tolist() == [0, 1]


def test_sam3_planted():
    masks = torch.full((1, 3, 6, 12), -5.0)
    masks[0, 1, :, 6:] = 5.0
    output = SimpleNamespace(
        pred_logits=torch.tensor([[logit(0.1), logit(0.8), logit(0.4)]]),
        presence_logits=torch.tensor([[logit(0.75)]]),
        pred_boxes=torch.tensor([[[0, 0, 1, 1], [0.5, 0, 1, 1], [0, 0, 0.5, 1]]], dtype=torch.float32),
        pred_masks=masks,
    )
    boxes, scores, found = Sam3Words(torch.nn.Linear(1, 1), None, size=56)._decoded(output, SIZE, 0.3)
    np.testing.assert_allclose(boxes, [[60, 0, 120, 60], [0, 0, 60, 60]])
    np.testing.assert_allclose(scores, [0.6, 0.3], atol=1e-6)
    assert [mask.area for mask in found] == [60 * 60, 0]


def saved(folder: Path, model: Any, tokenizer: Any, processor: Any | None) -> Path:
    for part in (model, tokenizer, processor):
        if part is not None:
            part.save_pretrained(folder)
    return folder


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["grounding_dino", "omdet_turbo", "sam3"])
def test_a_folder_is_a_detector(tmp_path: Path, kind: str):
    model = getattr(grounding_models, kind)()
    is_sam3 = kind == "sam3"
    saved(tmp_path, model, word_tokenizer(32 if is_sam3 else 77), None if is_sam3 else image_processor(128))
    detector = load_detector(tmp_path, device="cpu")
    found = detector.detect(IMAGE, TEXTS, 0.01)
    assert len(found) > 0
    assert set(found.texts.tolist()) <= {0, 1}
    assert np.isfinite(found.boxes).all()
    assert (found.boxes >= 0).all()
    assert (found.boxes <= [120, 60, 120, 60]).all()
    assert (found.masks is not None) == is_sam3
    assert detector.unknown(TEXTS) is None
    again = load_detector(tmp_path, device="cpu").detect(IMAGE, TEXTS, 0.01)
    np.testing.assert_array_equal(found.scores, again.scores)
    assert len(detector.detect(IMAGE, TEXTS, 1.0)) == 0


def test_too_many_texts_for_grounding_dino():
    model = SimpleNamespace(config=SimpleNamespace(max_text_len=5))
    detector = GroundingDino(model, None, word_tokenizer())
    assert detector.unknown(["dog", "cat"]) is None
    assert detector.unknown(["dog", "cat", "cup"]) == (
        "Grounding DINO reads 5 tokens at once; the last 1 of 3 texts are ignored"
    )
