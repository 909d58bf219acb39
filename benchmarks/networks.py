"""Compare the speed of weights: float32 ONNX graphs of their networks in ONNX Runtime on the CPU, run in turn.

python -m benchmarks.networks [WEIGHTS …] [--against yolov8n] [--input 288 512] [--threads 1 2] [--json FILE]

The ratio of processor time holds on a busy machine, too; that of elapsed time only on a quiet one.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Mapping
from functools import partial

import numpy as np

from benchmarks.harness import Timing, parser, report
from streamseg.engines.export import export_graph
from streamseg.engines.onnx_engine import OnnxEngine
from streamseg.weights import load_weights
from streamseg.weights.embedded import DEFAULT

Clocks = tuple[Timing, Timing]
"""Elapsed time, and processor time of all threads."""


def in_turn(
    candidates: Mapping[str, Callable[[], object]], *, num_runs: int, num_warmups: int = 3
) -> dict[str, Clocks]:
    """Time each candidate `num_runs` times, in turn, by both clocks."""
    seconds: dict[str, list[tuple[float, float]]] = {name: [] for name in candidates}
    for run in range(num_warmups + num_runs):
        for name, function in candidates.items():
            before = (time.perf_counter(), time.process_time())
            function()
            after = (time.perf_counter(), time.process_time())
            if run >= num_warmups:
                seconds[name].append((after[0] - before[0], after[1] - before[1]))
    return {
        name: (Timing.of([one[0] for one in all_]), Timing.of([one[1] for one in all_]))
        for name, all_ in seconds.items()
    }


def main() -> None:
    arguments = parser(__doc__)
    arguments.add_argument("weights", nargs="*", default=[DEFAULT], help="names or weights files (default: default)")
    arguments.add_argument("--against", default="yolov8n", help="weights to compare with (default %(default)s)")
    arguments.add_argument("--input", type=_multiple_of_32, nargs=2, default=(288, 512), metavar=("HEIGHT", "WIDTH"))
    arguments.add_argument("--threads", type=int, nargs="+", default=[1, 2])
    arguments.add_argument("--num-runs", type=int, default=60)
    args = arguments.parse_args()
    graphs = {name: export_graph(load_weights(name).network()) for name in (*args.weights, args.against)}
    images = np.random.default_rng(0).integers(0, 256, (1, *args.input, 3), dtype=np.uint8)
    results = []
    for num_threads in args.threads:
        engines = {name: OnnxEngine(graph, num_threads=num_threads) for name, graph in graphs.items()}
        timings = in_turn({name: partial(one.run, images) for name, one in engines.items()}, num_runs=args.num_runs)
        base = timings[args.against]
        print(f"{args.input[1]}x{args.input[0]}, {num_threads} thread(s); ratios to {args.against}")
        for name, (elapsed, processor) in timings.items():
            print(
                f"  {name:<12} elapsed {elapsed}  {elapsed.p50 / base[0].p50:5.2f}"
                f"    processor p50 {processor.p50:9.3f} ms  {processor.p50 / base[1].p50:5.2f}"
            )
            results.append(
                {"weights": name, "num_threads": num_threads, "elapsed_ms": elapsed, "processor_ms": processor}
            )
        for engine in engines.values():
            engine.close()
    report({"against": args.against, "input_size": list(args.input), "results": results}, args.json)


def _multiple_of_32(text: str) -> int:
    if not text.isdecimal() or int(text) < 32 or int(text) % 32:
        raise argparse.ArgumentTypeError(f"must be a multiple of 32, got {text!r}")
    return int(text)


if __name__ == "__main__":
    main()
