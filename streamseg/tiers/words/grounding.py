"""Open-vocabulary detectors of transformers: OmDet-Turbo, Grounding DINO and SAM 3.

The pre- and post-processing is that of their processors, without the parts that need torchvision.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import numpy as np
import torch
from torch import Tensor, nn

from streamseg.structures.arrays import ImageArray
from streamseg.structures.mask import CropMask
from streamseg.tiers.memory.sessions import pixel_values
from streamseg.tiers.words.detector import Detections
from streamseg.tiers.words.suppression import suppressed

__all__ = ["GroundingDino", "OmDetTurbo", "Sam3Words", "token_spans"]

MAX_DETECTIONS: Final = 300


class OmDetTurbo:
    """OmDet-Turbo.

    Args:
        model: an OmDetTurboForObjectDetection, in evaluation mode.
        image_processor: its image processor.
        tokenizer: its tokenizer.
    """

    default_threshold = 0.3
    """That of its processor."""
    NMS_IOU: Final = 0.5
    MAX_TOKENS: Final = 77

    def __init__(self, model: Any, image_processor: Any, tokenizer: Any) -> None:
        self._model, self._image_processor, self._tokenizer = model, image_processor, tokenizer

    def unknown(self, texts: Sequence[str]) -> None:
        """Return None: every text can be detected."""

    @torch.inference_mode()
    def detect(self, image: ImageArray, texts: Sequence[str], threshold: float) -> Detections:
        """Detect texts in an image, see `Detector.detect`."""
        device = next(self._model.parameters()).device
        pixels = self._image_processor(images=image, return_tensors="pt")["pixel_values"].to(device)
        tokens = self._tokenized([f"Detect {', '.join(texts)}."], "tasks") | self._tokenized(list(texts), "classes")
        output = self._model(
            pixel_values=pixels,
            classes_structure=torch.tensor([len(texts)], device=device),
            **{name: value.to(device) for name, value in tokens.items()},
        )
        return self.decode(output, len(texts), (image.shape[0], image.shape[1]), threshold)

    def decode(self, output: Any, num_texts: int, image_size: tuple[int, int], threshold: float) -> Detections:
        """Return the detections in an output of the model.

        Args:
            output: with `decoder_coord_logits` (1, Q, 4) and `decoder_class_logits` (1, Q, T).
            num_texts: T.
            image_size: size (H, W) of the image.
            threshold: minimum score, 0..1.
        """
        scores = output.decoder_class_logits[0].sigmoid().float().cpu()
        # The processor considers as many pairs of a box and a class as there are boxes.
        limit = scores.flatten().topk(len(scores)).values[-1].item()
        boxes = _corners(output.decoder_coord_logits[0].float().cpu(), image_size)
        found = suppressed(
            boxes.numpy(), scores[:, :num_texts].numpy(), max(threshold, limit), self.NMS_IOU, MAX_DETECTIONS
        )
        return Detections.of(*found, image_size)

    def _tokenized(self, texts: list[str], prefix: str) -> dict[str, Tensor]:
        tokens = self._tokenizer(
            text=texts, padding="max_length", truncation=True, max_length=self.MAX_TOKENS, return_tensors="pt"
        )
        return {f"{prefix}_{name}": tokens[name] for name in ("input_ids", "attention_mask")}


class GroundingDino:
    """Grounding DINO.

    Args:
        model: a GroundingDinoForObjectDetection, in evaluation mode.
        image_processor: its image processor.
        tokenizer: its tokenizer, one of the tokenizers library.
    """

    default_threshold = 0.25
    """That of its processor."""

    def __init__(self, model: Any, image_processor: Any, tokenizer: Any) -> None:
        self._model, self._image_processor, self._tokenizer = model, image_processor, tokenizer

    def unknown(self, texts: Sequence[str]) -> str | None:
        """Return why some texts are ignored; None if none are."""
        limit = int(self._model.config.max_text_len)
        spans = token_spans(self._tokenizer, texts)[1]
        ignored = [text for text, (_, stop) in zip(texts, spans, strict=True) if stop > limit]
        if not ignored:
            return None
        return f"Grounding DINO reads {limit} tokens at once; the last {len(ignored)} of {len(texts)} texts are ignored"

    @torch.inference_mode()
    def detect(self, image: ImageArray, texts: Sequence[str], threshold: float) -> Detections:
        """Detect texts in an image, see `Detector.detect`."""
        device = next(self._model.parameters()).device
        tokens, spans = token_spans(self._tokenizer, texts)
        # The mask of the padding, if the processor pads, is an input, too.
        inputs = {**self._image_processor(images=image, return_tensors="pt"), **tokens}
        output = self._model(**{name: value.to(device) for name, value in inputs.items()})
        return self.decode(output, spans, (image.shape[0], image.shape[1]), threshold)

    def decode(
        self, output: Any, spans: Sequence[tuple[int, int]], image_size: tuple[int, int], threshold: float
    ) -> Detections:
        """Return the detections in an output of the model: each box with the text whose best token scores best.

        Args:
            output: with `logits` (1, Q, L) and `pred_boxes` (1, Q, 4).
            spans: tokens [start, stop) of each text, see `token_spans`.
            image_size: size (H, W) of the image.
            threshold: minimum score, 0..1.
        """
        tokens = output.logits[0].sigmoid().float().cpu()
        columns = [tokens[:, start:stop] for start, stop in spans]
        best = [one.max(dim=1).values if one.shape[1] else one.new_zeros(len(one)) for one in columns]
        scores, texts = torch.stack(best, dim=1).max(dim=1)
        kept = scores > threshold
        boxes = _corners(output.pred_boxes[0].float().cpu(), image_size)
        return Detections.of(boxes[kept].numpy(), scores[kept].numpy(), texts[kept].numpy(), image_size)


class Sam3Words:
    """SAM 3, prompted by texts: every instance of each text, with its mask.

    The image is encoded once for all texts; each text runs the detector.

    Args:
        model: a Sam3Model, in evaluation mode.
        tokenizer: its tokenizer.
        size: side of its input in pixels.
    """

    default_threshold = 0.3
    """That of its processor."""
    MAX_TOKENS: Final = 32

    def __init__(self, model: Any, tokenizer: Any, *, size: int) -> None:
        self._model, self._tokenizer, self._size = model, tokenizer, size
        device = next(model.parameters()).device
        self._half = torch.full((3,), 0.5, device=device)

    def unknown(self, texts: Sequence[str]) -> None:
        """Return None: every text can be detected."""

    @torch.inference_mode()
    def detect(self, image: ImageArray, texts: Sequence[str], threshold: float) -> Detections:
        """Detect texts in an image, see `Detector.detect`."""
        image_size = image.shape[0], image.shape[1]
        vision = self._model.get_vision_features(pixel_values=pixel_values(image, self._size, self._half, self._half))
        found = [self._decoded(self._run(vision, text), image_size, threshold) for text in texts]
        positions = np.concatenate([np.full(len(scores), text) for text, (_, scores, _) in enumerate(found)])
        masks = [mask for _, _, some in found for mask in some]
        boxes = torch.cat([some for some, _, _ in found]).numpy()
        scores = torch.cat([some for _, some, _ in found]).numpy()
        return Detections.of(boxes, scores, positions, image_size, masks)

    def _run(self, vision: Any, text: str) -> Any:
        tokens = self._tokenizer(
            [text], return_tensors="pt", padding="max_length", truncation=True, max_length=self.MAX_TOKENS
        )
        inputs = {name: tokens[name].to(self._half.device) for name in ("input_ids", "attention_mask")}
        return self._model(vision_embeds=vision, **inputs)

    def _decoded(
        self, output: Any, image_size: tuple[int, int], threshold: float
    ) -> tuple[Tensor, Tensor, list[CropMask]]:
        """Return boxes (N, 4) xyxy of the image, scores (N,) and masks of one text."""
        scores = output.pred_logits[0].sigmoid().float().cpu()
        if output.presence_logits is not None:
            scores = scores * output.presence_logits[0].sigmoid().float().cpu()
        kept = torch.nonzero(scores > threshold).flatten()
        height, width = image_size
        boxes = output.pred_boxes[0].float().cpu()[kept] * torch.tensor([width, height] * 2, dtype=torch.float32)
        shares = output.pred_masks[0].sigmoid().float()[kept.to(output.pred_masks.device)]
        masks = []
        for share in shares:
            full = nn.functional.interpolate(share[None, None], image_size, mode="bilinear", align_corners=False)
            masks.append(CropMask.of((full[0, 0] > 0.5).numpy(force=True)))
        return boxes, scores[kept], masks


def token_spans(tokenizer: Any, texts: Sequence[str]) -> tuple[dict[str, Tensor], list[tuple[int, int]]]:
    """Tokenize texts for Grounding DINO: in one sentence, in lower case, each with a full stop.

    Args:
        tokenizer: a tokenizer with offsets.
        texts: T texts; full stops in them become spaces, because they would separate texts.

    Returns:
        The inputs of the model (1, L), and the tokens [start, stop) of each text.
    """
    cleaned = [" ".join(text.replace(".", " ").lower().split()) for text in texts]
    tokens = tokenizer(
        [". ".join(cleaned) + "."], return_tensors="pt", return_offsets_mapping=True, return_token_type_ids=True
    )
    offsets = tokens.pop("offset_mapping")[0].tolist()
    spans, begin = [], 0
    for text in cleaned:
        end = begin + len(text)
        inside = [one for one, (start, stop) in enumerate(offsets) if start >= begin and stop <= end and stop > start]
        spans.append((inside[0], inside[-1] + 1) if inside else (0, 0))
        begin = end + 2
    return dict(tokens), spans


def _corners(boxes: Tensor, image_size: tuple[int, int]) -> Tensor:
    """Convert relative boxes (N, 4), centre and size, to xyxy in pixels of an image (H, W)."""
    height, width = image_size
    centres, sizes = boxes[:, :2], boxes[:, 2:]
    corners = torch.cat([centres - sizes / 2, centres + sizes / 2], dim=1)
    return corners * torch.tensor([width, height, width, height], dtype=torch.float32)
