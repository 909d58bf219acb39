"""Compare the engines of this device: speed by input size and threads, and the numerical cost of half precision.

python -m benchmarks.engines [--weights FILE.safetensors] [--int8 FILE.xml] [--int8-onnx FILE.onnx] [--size n]
    [--imgsz 640 320] [--threads 1 2] [--device cuda] [--cpu-time] [--json FILE]

Byte preprocessing, network and decoding of one image (or a batch) are timed in turns in one run, and each output is
compared with torch in float32. Half precision is float16 on CUDA, in torch and in ONNX Runtime; on the CPU it is
bfloat16, in torch and, on processors that compute it fast, in OpenVINO.
"""

from __future__ import annotations

import time
from functools import partial
from pathlib import Path

import numpy as np
import torch

from benchmarks.harness import measure, parser, report
from streamseg.engines import Engine, largest_differences
from streamseg.engines.export import export_graph
from streamseg.engines.onnx_engine import OnnxEngine
from streamseg.engines.openvino_engine import OpenVinoEngine
from streamseg.engines.openvino_model import can_use_openvino, computes_bfloat16, read_onnx, read_xml
from streamseg.engines.torch_engine import TorchEngine
from streamseg.errors import EngineError
from streamseg.geometry import letterbox
from streamseg.modeling.network import Network
from streamseg.modeling.yolov8 import build_yolov8
from streamseg.weights import load_weights


def _engines(
    network: Network, device: str, num_threads: int, int8: Path | None, int8_onnx: Path | None
) -> dict[str, Engine]:
    """Return the engines available on a device, by name; torch in float32 is the baseline."""
    engines: dict[str, Engine] = {
        "torch": TorchEngine(network, device=device),
        "torch half": TorchEngine(network, device=device, half=True),
    }
    # On the CPU, ONNX Runtime would compute in float32 and only cast.
    for half in (False, True) if device.startswith("cuda") else (False,):
        name = "onnx half" if half else "onnx"
        try:
            engines[name] = OnnxEngine(export_graph(network, half=half), device=device, num_threads=num_threads)
        except EngineError as error:
            print(f"without {name}: {error}")
    if device == "cpu" and int8_onnx is not None:
        engines["onnx int8"] = OnnxEngine(int8_onnx.read_bytes(), path=int8_onnx, num_threads=num_threads)
    if device == "cpu" and can_use_openvino():
        graph = read_onnx(export_graph(network), path="graph")
        engines["openvino"] = OpenVinoEngine(graph, num_threads=num_threads)
        if computes_bfloat16():
            engines["openvino half"] = OpenVinoEngine(graph, half=True, num_threads=num_threads)
        if int8 is not None:
            engines["openvino int8"] = OpenVinoEngine(read_xml(int8), path=int8, num_threads=num_threads)
    return engines


def main() -> None:
    arguments = parser(__doc__)
    arguments.add_argument("--weights", default=None, help="a .safetensors file (default: seeded random weights)")
    arguments.add_argument("--int8", type=Path, default=None, help="the weights in 8 bits, see `streamseg quantize`")
    arguments.add_argument(
        "--int8-onnx", type=Path, default=None, help="the same in ONNX, see `streamseg export --int8-calibration`"
    )
    arguments.add_argument("--imgsz", type=int, nargs="+", default=[640, 320], help="long sides of 16:9 inputs")
    arguments.add_argument(
        "--cpu-time", action="store_true", help="CPU time of all threads in place of elapsed time, for busy machines"
    )
    arguments.add_argument("--size", default="n", choices=["n", "s", "m", "l", "x"])
    arguments.add_argument("--threads", type=int, nargs="+", default=[1, 2])
    arguments.add_argument("--batch", type=int, default=1)
    arguments.add_argument("--device", default="cpu", help="cpu, cuda or cuda:1 (default %(default)s)")
    arguments.add_argument("--num-runs", type=int, default=40)
    args = arguments.parse_args()
    network = load_weights(args.weights).network() if args.weights else build_yolov8(args.size, seed=0).eval()
    results = []
    for num_threads in args.threads:
        torch.set_num_threads(num_threads)
        engines = _engines(network, args.device, num_threads, args.int8, args.int8_onnx)
        for height, width in (letterbox((1080, 1920), imgsz).input_size for imgsz in args.imgsz):
            images = np.random.default_rng(0).integers(0, 256, (args.batch, height, width, 3), dtype=np.uint8)
            timings = measure(
                {name: partial(engine.run, images) for name, engine in engines.items()},
                num_runs=args.num_runs,
                num_warmups=3,
                clock=time.process_time if args.cpu_time else time.perf_counter,
            )
            outputs = {name: engine.run(images) for name, engine in engines.items()}
            differences = {name: largest_differences(outputs["torch"], output) for name, output in outputs.items()}
            clock = "CPU time" if args.cpu_time else "elapsed time"
            print(f"{width}x{height}, batch {args.batch}, {args.device}, {num_threads} thread(s), {clock}")
            for name, timing in timings.items():
                print(f"  {name:<13} {timing}  {timing.p50 / timings['torch'].p50:5.2f} of torch")
            for name in differences.keys() - {"torch"}:
                by_array = ", ".join(f"{array} {value:.0e}" for array, value in differences[name].items())
                print(f"  torch and {name} differ by {by_array}")
            results.append(
                {
                    "input_size": [height, width],
                    "batch": args.batch,
                    "device": args.device,
                    "num_threads": num_threads,
                    "clock": clock,
                    "timings_ms": timings,
                    "differences": differences,
                }
            )
        for engine in engines.values():
            engine.close()
    report({"size": args.size, "weights": args.weights or "seeded", "results": results}, args.json)


if __name__ == "__main__":
    main()
