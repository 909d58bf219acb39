"""What is measured: FastSAM's two sizes with seeded weights, and the floors of each case."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from functools import cache
from typing import Final

import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from benchmarks.lively import lively_network
from streamseg.geometry import letterbox
from streamseg.modeling.network import Network
from streamseg.modeling.preprocess import letterbox_images
from streamseg.modeling.refiner import Refiner
from streamseg.modeling.yolov8 import Size, build_yolov8
from streamseg.structures.arrays import ImageArray
from streamseg.synthetic import SceneRenderer

__all__ = [
    "CASES",
    "CONF",
    "IOU",
    "SIZE",
    "Case",
    "floors",
    "network_flops",
    "scene_images",
    "seeded_network",
    "seeded_refiner",
]

SIZE: Final = (720, 1280)
"""(H, W) of the images."""

CONF: Final = 0.25
IOU: Final = 0.9
"""Thresholds of FastSAM: `CONF` of the score, and `IOU` of the suppression."""

CANDIDATES_PER_OBJECT: Final = 6
"""Anchors above the threshold per object, as in trained networks."""


@dataclass(frozen=True)
class Case:
    """A network and the number of images that it gets at once."""

    size: Size
    reg_max: int
    imgsz: int
    batch: int
    floor_ms: tuple[str, str]
    """Estimated floor from capture to message for a whole batch, on an H200 and on an RTX 3090; see docs/gpu.md."""
    network_floor_ms: tuple[str, str]
    """The same of the network alone."""
    sharp: bool = False
    """Whether a refiner corrects the masks, as with the default weights; FastSAM has none."""

    @property
    def name(self) -> str:
        """Name in tables and on the command line."""
        return f"{self.size}{self.batch}" + ("sharp" if self.sharp else "")

    def at(self, imgsz: int | None) -> Case:
        """Return the case at another input size, which has no floors; None: unchanged."""
        if imgsz is None or imgsz == self.imgsz:
            return self
        return replace(self, imgsz=imgsz, floor_ms=("", ""), network_floor_ms=("", ""))


CASES: Final = (
    Case("x", 26, 1024, 1, ("4 to 4.5", "10 to 12"), ("1.3 to 1.8", "7 to 9")),
    Case("s", 16, 640, 1, ("3", "4"), ("0.8", "1")),
    Case("x", 26, 1024, 1, ("5", "13"), ("1.3 to 1.8", "7 to 9"), sharp=True),
    Case("s", 16, 640, 16, ("33", "38"), ("1 to 1.5", "6 to 7")),
    Case("x", 26, 1024, 4, ("14", "40"), ("5 to 7", "28 to 36")),
    Case("s", 16, 640, 8, ("17", "20"), ("0.8", "3 to 4")),
)
"""The most important case first: FastSAM-x, one image, which the promise of 40 ms is about."""


def floors(case: Case) -> str:
    """Return the floors of a case as words; empty if there are none."""
    if not case.floor_ms[0]:
        return ""
    (h200, rtx3090), (network_h200, network_3090) = case.floor_ms, case.network_floor_ms
    return f"floors, estimated: H200 {h200} ms (network {network_h200}), RTX 3090 {rtx3090} ms (network {network_3090})"


def scene_images(batch: int, index: int = 0) -> list[ImageArray]:
    """Return images of as many different scenes, uint8 (H, W, 3) RGB each."""
    height, width = SIZE
    return [SceneRenderer(width, height, seed=seed).render(index) for seed in range(batch)]


def seeded_network(case: Case, num_objects: int) -> Network:
    """Return a network with random weights of which a typical number of anchors passes `CONF`; not to be changed.

    Random weights cause the same work as trained ones, if their outputs vary as those do (`lively_network`), and as
    many anchors and objects are left: the bias of the scores is shifted so that `CANDIDATES_PER_OBJECT` times
    `num_objects` anchors of the first scene pass.
    """
    return _network(case.size, case.reg_max, case.imgsz, CANDIDATES_PER_OBJECT * num_objects)


def seeded_refiner(case: Case) -> Refiner | None:
    """Return a refiner with random weights whose corrections and qualities vary, as if trained; None if not sharp."""
    if not case.sharp:
        return None
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(1)
        refiner = Refiner()
        for layer in (refiner.correct, refiner.judge):
            nn.init.normal_(layer.weight, std=2.0)
    return refiner.eval()


@cache
def _network(size: Size, reg_max: int, imgsz: int, num_candidates: int) -> Network:
    network = lively_network(size, reg_max=reg_max)
    (image,) = scene_images(1)
    pixels = letterbox_images([image], [letterbox(image.shape[:2], imgsz)])
    with torch.no_grad():
        logits = network(torch.from_numpy(pixels).permute(0, 3, 1, 2) / 255).score_logits.flatten()
        last = min(num_candidates, len(logits) - 1)
        shift = math.log(CONF / (1 - CONF)) - logits.sort(descending=True).values[last]
        for branch in network.model[22].cv3:
            branch[-1].bias += shift
    return network


def network_flops(case: Case) -> int:
    """Return the floating-point operations of the network for one image, counted without data."""
    height, width = letterbox(SIZE, case.imgsz).input_size
    with torch.device("meta"):
        network = build_yolov8(case.size, reg_max=case.reg_max, seed=0).eval()
        images = torch.zeros(1, 3, height, width)
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        network(images)
    return int(counter.get_total_flops())
