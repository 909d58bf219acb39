"""The lively network as ONNX graphs in the forms that other programs export."""

from __future__ import annotations

import io
import warnings
from collections.abc import Mapping
from copy import deepcopy
from dataclasses import dataclass, field
from functools import cache
from typing import Any, Literal

import onnx
import torch
from torch import Tensor, nn

from streamseg.geometry import nms
from streamseg.modeling.decoding import decode
from streamseg.modeling.network import Network, fuse
from tests.support.networks import lively_network

SUPPRESSED = {"task": "segment", "args": "{'nms': True, 'dynamic': False}"}
"""Metadata that ultralytics writes to a graph with built-in NMS."""


@dataclass(frozen=True)
class Form:
    """Form of an exported graph."""

    shape: tuple[int, int, int, int] = (1, 3, 96, 128)
    """Shape (B, 3, H, W) of the input at export."""
    dynamic: Literal["", "batch", "all"] = ""
    """Dynamic axes: none, the batch, or the batch, height and width."""
    arrangement: Literal["anchors last", "anchors first", "suppressed"] = "anchors last"
    num_classes: int = 1
    swapped: bool = False
    """Whether prototypes come first, and the outputs have other names."""
    extra: bool = False
    """Whether the features of the levels are additional outputs, as some programs export them."""
    half: bool = False
    conf: float = 0.25
    iou: float = 0.7
    max_det: int = 300
    metadata: tuple[tuple[str, str], ...] = field(default=())

    def with_metadata(self, metadata: Mapping[str, str]) -> Form:
        return Form(**{**vars(self), "metadata": tuple(metadata.items())})


def third_party_graph(form: Form) -> bytes:
    """Return the lively network of size n and seed 0 as an ONNX file of the given form."""
    model = onnx.load_from_string(_exported(form.with_metadata({})))
    onnx.helper.set_model_props(model, dict(form.metadata))
    contents: bytes = model.SerializeToString()
    return contents


@cache
def _network() -> Network:
    return fuse(lively_network())


@cache
def _exported(form: Form) -> bytes:
    dtype = torch.float16 if form.half else torch.float32
    outputs = ["output0", "output1"] if not form.swapped else ["proto", "pred"]
    outputs += ["p3", "p4"] if form.extra else []
    axes: dict[str, Any] = {"batch": {"images": {0: "batch"}}, "": {}}.get(
        form.dynamic, {"images": {0: "batch", 2: "height", 3: "width"}}
    )
    if form.dynamic:
        axes |= {name: {0: "batch"} for name in outputs}
    stream = io.BytesIO()
    with warnings.catch_warnings(), torch.inference_mode():
        warnings.simplefilter("ignore")
        torch.onnx.export(
            _ThirdParty(form).to(dtype).eval(),
            (torch.zeros(form.shape, dtype=dtype),),
            stream,
            dynamo=False,
            input_names=["images" if not form.swapped else "x.1"],
            output_names=outputs,
            dynamic_axes={{"images": "x.1"}.get(name, name) if form.swapped else name: a for name, a in axes.items()},
            opset_version=17,
        )
    return stream.getvalue()


class _ThirdParty(nn.Module):
    """The network with the outputs of a third-party graph."""

    def __init__(self, form: Form) -> None:
        super().__init__()
        self.network = deepcopy(_network())
        self.form = form

    def forward(self, images: Tensor) -> tuple[Tensor, ...]:
        decoded = decode(self.network(images))
        low, high = decoded.boxes[..., :2], decoded.boxes[..., 2:]
        # The last class has the best score.
        scores = torch.stack(
            [decoded.scores * (i + 1) / self.form.num_classes for i in range(self.form.num_classes)], 2
        )
        boxes = decoded.boxes if self.form.arrangement == "suppressed" else torch.cat([(low + high) / 2, high - low], 2)
        rows = torch.cat([boxes, scores, decoded.mask_coefficients.float()], 2).to(images.dtype)  # (B, A, C)
        if self.form.arrangement == "suppressed":
            # Like those of ultralytics, the graph does not loop over the batch: later images get zeros.
            empty = torch.zeros_like(rows[:, :1, :1]).expand(-1, self.form.max_det, 6 + 32)
            detections = torch.cat([self._suppressed(rows), empty[1:]])
        else:
            detections = rows if self.form.arrangement == "anchors first" else rows.transpose(1, 2)
        prototypes = decoded.prototypes
        levels = [nn.functional.avg_pool2d(prototypes, n).repeat(1, 3, 1, 1) for n in (2, 4)] if self.form.extra else []
        pair = [detections, prototypes]
        return (*(reversed(pair) if self.form.swapped else pair), *levels)

    def _suppressed(self, rows: Tensor) -> Tensor:
        """Return the rows (A, 5 + 32) of the first image as (1, max_det, 6 + 32)."""
        form = self.form
        best = _Suppression.apply(rows[:1, :, :4], rows[:1, :, 4:5].transpose(1, 2), form.max_det, form.iou, form.conf)
        kept = rows[0, best[:, 2]]
        kept = torch.cat([kept[:, :5], torch.zeros_like(kept[:, :1]), kept[:, 5:]], 1)
        return torch.cat([kept, rows.new_zeros(form.max_det, 6 + 32)])[None, : form.max_det]


class _Suppression(torch.autograd.Function):
    """ONNX's NonMaxSuppression."""

    @staticmethod
    def forward(ctx: Any, boxes: Tensor, scores: Tensor, max_det: int, iou: float, conf: float) -> Tensor:
        kept = nms(boxes[0], scores[0, 0], iou, max_kept=max_det)
        kept = kept[scores[0, 0, kept] > conf]
        return torch.stack([torch.zeros_like(kept), torch.zeros_like(kept), kept], 1)

    @staticmethod
    def symbolic(g: Any, boxes: Any, scores: Any, max_det: int, iou: float, conf: float) -> Any:
        limits = [torch.tensor([max_det]), torch.tensor([iou]), torch.tensor([conf])]
        return g.op("NonMaxSuppression", boxes, scores, *(g.op("Constant", value_t=limit) for limit in limits))
