"""The lively network in the forms that other programs export it in."""

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
"""What ultralytics says of a graph with NMS inside."""


@dataclass(frozen=True)
class Form:
    """One way to write the graph down."""

    shape: tuple[int, int, int, int] = (1, 3, 96, 128)
    """Of the input at the export."""
    free: Literal["", "batch", "all"] = ""
    """Which axes stay free: none, the batch, or height and width too."""
    arrangement: Literal["anchors last", "anchors first", "suppressed"] = "anchors last"
    num_classes: int = 1
    swapped: bool = False
    """Prototypes first, and other names."""
    extra: bool = False
    """The levels' features as further outputs, as some programs leave them."""
    half: bool = False
    conf: float = 0.25
    iou: float = 0.7
    max_det: int = 300
    metadata: tuple[tuple[str, str], ...] = field(default=())

    def with_metadata(self, metadata: Mapping[str, str]) -> Form:
        return Form(**{**vars(self), "metadata": tuple(metadata.items())})


def foreign_graph(form: Form) -> bytes:
    """The lively network of size n and seed 0 as an ONNX file of this form."""
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
        form.free, {"images": {0: "batch", 2: "height", 3: "width"}}
    )
    if form.free:
        axes |= {name: {0: "batch"} for name in outputs}
    stream = io.BytesIO()
    with warnings.catch_warnings(), torch.inference_mode():
        warnings.simplefilter("ignore")
        torch.onnx.export(
            _Foreign(form).to(dtype).eval(),
            (torch.zeros(form.shape, dtype=dtype),),
            stream,
            dynamo=False,
            input_names=["images" if not form.swapped else "x.1"],
            output_names=outputs,
            dynamic_axes={{"images": "x.1"}.get(name, name) if form.swapped else name: a for name, a in axes.items()},
            opset_version=17,
        )
    return stream.getvalue()


class _Foreign(nn.Module):
    def __init__(self, form: Form) -> None:
        super().__init__()
        self.network = deepcopy(_network())
        self.form = form

    def forward(self, images: Tensor) -> tuple[Tensor, ...]:
        decoded = decode(self.network(images))
        low, high = decoded.boxes[..., :2], decoded.boxes[..., 2:]
        # Of several classes the last is the best one.
        scores = torch.stack(
            [decoded.scores * (i + 1) / self.form.num_classes for i in range(self.form.num_classes)], 2
        )
        boxes = decoded.boxes if self.form.arrangement == "suppressed" else torch.cat([(low + high) / 2, high - low], 2)
        rows = torch.cat([boxes, scores, decoded.mask_coefficients.float()], 2).to(images.dtype)  # (B, A, C)
        if self.form.arrangement == "suppressed":
            # The graph loops over no batch, as ultralytics' do not: what follows the first picture gets zeros.
            empty = torch.zeros_like(rows[:, :1, :1]).expand(-1, self.form.max_det, 6 + 32)
            detections = torch.cat([self._suppressed(rows), empty[1:]])
        else:
            detections = rows if self.form.arrangement == "anchors first" else rows.transpose(1, 2)
        prototypes = decoded.prototypes
        levels = [nn.functional.avg_pool2d(prototypes, n).repeat(1, 3, 1, 1) for n in (2, 4)] if self.form.extra else []
        pair = [detections, prototypes]
        return (*(reversed(pair) if self.form.swapped else pair), *levels)

    def _suppressed(self, rows: Tensor) -> Tensor:
        """The first picture's rows (A, 5 + 32) as (1, max_det, 6 + 32)."""
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
