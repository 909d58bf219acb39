"""Selection of the fastest engine on the CPU, measured once per machine and weights, unless the machine was busy."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch

from streamseg.engines.choices import choice_key, choice_path, read_choice, write_choice
from streamseg.engines.core_time import CoreTime, core_time, waiting_share
from streamseg.engines.engine import Engine, imgsz_of
from streamseg.engines.export import cached_graph, can_export, graph_path
from streamseg.engines.int8_graphs import find_int8_graph
from streamseg.engines.openvino_engine import OpenVinoEngine
from streamseg.engines.openvino_model import OpenVinoModel, read_onnx
from streamseg.engines.timing import BUSY_SHARE, fastest, shortest_runs
from streamseg.engines.torch_engine import TorchEngine
from streamseg.errors import EngineError, WeightsError
from streamseg.geometry import letterbox
from streamseg.weights import Weights

__all__ = ["fastest_engine", "measured_engine"]

BUILDING_SECONDS = 5.0
"""Time after which no further candidate is built for the measurement, once there is one."""

MAX_IMGSZ = 512
"""Largest long side of the timed image, pixels: large networks shall not take longer than a few seconds."""

_logger = logging.getLogger(__name__)

Builder = Callable[[], Engine]


def fastest_engine(weights: Weights, *, with_int8: bool, cores: Callable[[], CoreTime] = core_time) -> Engine:
    """Return the fastest engine for these weights on this CPU, in float32 or, if allowed, in 8 bits.

    Args:
        weights: the weights.
        with_int8: whether a graph in 8 bits is a candidate, if there is one of recorded accuracy (`find_int8_graph`).
        cores: reads what the threads of this process did.

    Raises:
        WeightsError: the weights fit no network.
        EngineError: no engine can run them.
    """
    int8 = find_int8_graph(weights) if with_int8 else None
    builders = _builders(weights, int8)
    key = choice_key(
        weights=weights.sha256, int8="" if int8 is None else int8[1].sha256, candidates=", ".join(builders)
    )
    height, width = letterbox((720, 1280), min(imgsz_of(weights.metadata), MAX_IMGSZ)).input_size
    images = np.random.default_rng(0).integers(0, 256, (1, height, width, 3), dtype=np.uint8)
    return measured_engine(builders, key, images, cores=cores)


def measured_engine(
    builders: Mapping[str, Builder],
    key: Mapping[str, str],
    images: npt.NDArray[np.uint8],
    *,
    timer: Callable[[], float] = time.perf_counter,
    cores: Callable[[], CoreTime] = core_time,
    num_threads: int | None = None,
) -> Engine:
    """Return the remembered engine, or build all candidates, measure them and remember the fastest one.

    A measurement while other work holds the cores chooses for this process only. Building stops after
    `BUILDING_SECONDS`, and timing as `timing` describes, each with what has been started.

    Args:
        builders: functions that build the candidates, by name, in order of preference.
        key: everything that the choice depends on, see `choices`.
        images: the batch to time, uint8 (B, H, W, 3) RGB.
        timer: returns seconds, which never decrease.
        cores: reads what the threads of this process did.
        num_threads: number of threads that the engines compute with; None for torch's.

    Raises:
        EngineError: no candidate can be built.
    """
    remembered = read_choice(key)
    if remembered is not None and remembered in builders:
        return builders[remembered]()
    num_threads = num_threads or torch.get_num_threads()
    before = cores()
    engines, is_complete = _built(builders, timer)
    waiting = 0.0 if is_complete else waiting_share(before, cores(), num_threads)
    runs = {name: _run(engine, images) for name, engine in engines.items()}
    compared = shortest_runs(runs, timer=timer, cores=cores, num_threads=num_threads)
    waiting = max(waiting, compared.waiting)
    chosen = fastest(compared.seconds)
    for name, engine in engines.items():
        if name != chosen:
            engine.close()
    times = ", ".join(f"{name} {duration * 1000:.1f} ms" for name, duration in compared.seconds.items())
    if waiting > BUSY_SHARE:
        _logger.warning(
            "engine %s, the fastest of %s, but other work held the cores for %.0f %% of the time: it is used for this"
            " run only, and the next one measures again; set $STREAMSEG_ENGINE or segmentation.engine to choose one",
            chosen,
            times,
            waiting * 100,
        )
    else:
        write_choice(key, chosen, compared.seconds)
        _logger.info("engine %s, the fastest of %s; remembered in %s", chosen, times, choice_path(key))
    return engines[chosen]


def _builders(weights: Weights, int8: tuple[Path, OpenVinoModel] | None) -> dict[str, Builder]:
    """Return the candidates in order of preference."""
    builders: dict[str, Builder] = {}
    path = graph_path(weights)
    if can_export() or path.is_file():
        from streamseg.engines.onnx_engine import OnnxEngine

        builders["onnx"] = lambda: OnnxEngine(cached_graph(weights), path=path)
        builders["openvino"] = lambda: OpenVinoEngine(read_onnx(cached_graph(weights), path=path), path=path)
    if int8 is not None:
        int8_path, source = int8
        builders["openvino int8"] = lambda: OpenVinoEngine(source, path=int8_path)
    builders["torch"] = lambda: TorchEngine(
        weights.network(), imgsz=imgsz_of(weights.metadata), refiner=weights.refiner()
    )
    return builders


def _built(builders: Mapping[str, Builder], timer: Callable[[], float]) -> tuple[dict[str, Engine], bool]:
    """Build candidates and return whether there was time for all. Those that cannot run are logged and left out."""
    started, is_complete = timer(), True
    engines: dict[str, Engine] = {}
    reasons = []
    for name, build in builders.items():
        if engines and timer() - started > BUILDING_SECONDS:
            _logger.info("engine %s is not compared: building the others took long enough", name)
            is_complete = False
            continue
        try:
            engines[name] = build()
        except (EngineError, WeightsError) as error:
            reasons.append(f"{name}: {error}")
            _logger.warning("without engine %s: %s", name, error)
        if len(engines) <= 1:
            started = timer()  # the first one, which is needed in any case, exports the graph for all of them, once
    if not engines:
        raise EngineError(f"no engine can run these weights ({'; '.join(reasons)})")
    return engines, is_complete


def _run(engine: Engine, images: npt.NDArray[np.uint8]) -> Callable[[], object]:
    return lambda: engine.run(images)
