"""Which measurements are made, in which order, and with how much time each. Pure: the caller supplies the time.

The order puts first what matters most. Of each size with one image: the comparison with the CPU, then CUDA graphs,
alone, by stages and in a live run; then TensorRT, whose plans take minutes to build. The batches follow, then what the
graphs are compared with. Each measurement has a share of the time that is left, by its weight. What others have not
used is shared by those that follow.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Literal

from benchmarks.gpu.cases import Case

__all__ = ["KINDS", "MODES", "Kind", "Measurement", "Mode", "planned", "share"]

Kind = Literal["check", "frames", "stages", "live"]
Mode = Literal["graph", "eager", "torch", "tensorrt", "onnx"]

KINDS: Final[tuple[Kind, ...]] = ("check", "frames", "stages", "live")
MODES: Final[tuple[Mode, ...]] = ("graph", "eager", "torch", "tensorrt", "onnx")


@dataclass(frozen=True)
class Measurement:
    """One measurement of a case."""

    case: Case
    kind: Kind
    mode: Mode = "graph"
    weight: float = 1.0
    """Its share of the time, relative to the others."""
    least_seconds: float = 2.0
    """It is not begun with less time."""

    @property
    def name(self) -> str:
        """Name in messages."""
        return f"{self.case.name} {self.kind}" + (f" {self.mode}" if self.kind == "frames" else "")


def planned(cases: Sequence[Case], modes: Sequence[Mode], kinds: Sequence[Kind] = KINDS) -> list[Measurement]:
    """Return the measurements in order.

    Args:
        cases: in order of importance.
        modes: modes of `frames`. The other kinds are measured with CUDA graphs.
        kinds: kinds of measurements.

    Cases with sharp masks are not measured in TensorRT and ONNX Runtime: their networks are those of the others.
    """
    single = [case for case in cases if case.batch == 1]
    batches = [case for case in cases if case.batch > 1]
    every = [
        *(one for case in single for one in _with_graphs(case)),
        *(_with_tensorrt(case) for case in single if not case.sharp),
        *(one for case in batches for one in _with_graphs(case)),
        *(Measurement(case, "frames", mode, weight=2) for case in cases for mode in ("eager", "torch")),
        *map(_with_tensorrt, batches),
        *(Measurement(case, "frames", "onnx", weight=3, least_seconds=4) for case in cases if not case.sharp),
    ]
    return [one for one in every if one.kind in kinds and (one.kind != "frames" or one.mode in modes)]


def _with_graphs(case: Case) -> tuple[Measurement, ...]:
    return (
        Measurement(case, "check", weight=2, least_seconds=3),
        Measurement(case, "frames", "graph", weight=3),
        Measurement(case, "stages", weight=2),
        Measurement(case, "live", weight=4, least_seconds=4),
    )


def _with_tensorrt(case: Case) -> Measurement:
    return Measurement(case, "frames", "tensorrt", weight=10, least_seconds=10)


def share(measurements: Sequence[Measurement], left_seconds: float) -> float:
    """Return the seconds of the first of the measurements that remain; 0 if they do not suffice to begin it.

    A measurement gets at least its `least_seconds`, if there is so much time left.
    """
    first = measurements[0]
    if left_seconds < first.least_seconds:
        return 0.0
    return max(left_seconds * first.weight / sum(one.weight for one in measurements), first.least_seconds)
