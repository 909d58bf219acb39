"""Which engine is the faster one on this CPU, at which input and with how many threads?

python -m benchmarks.engines [--weights FILE.safetensors] [--size n] [--threads 1 2] [--json FILE]

Network, preprocessing of bytes and decoding of one picture (or of a batch), timed in turns in one run.
`torch half` computes in bfloat16, which only some processors are fast at.
"""

from __future__ import annotations

import numpy as np
import torch

from benchmarks.harness import measure, parser, report
from streamseg.segmentation.engines import Engine, largest_differences
from streamseg.segmentation.engines.onnx_engine import OnnxEngine
from streamseg.segmentation.engines.torch_engine import TorchEngine
from streamseg.segmentation.export import export_graph
from streamseg.segmentation.network import build_network
from streamseg.segmentation.weights import load_weights

INPUTS = ((384, 640), (192, 320))
"""(H, W) that a 16:9 picture has at imgsz 640 and 320."""


def main() -> None:
    arguments = parser(__doc__)
    arguments.add_argument("--weights", default=None, help="a .safetensors file; without it: seeded random weights")
    arguments.add_argument("--size", default="n", choices=["n", "s", "m", "l", "x"])
    arguments.add_argument("--threads", type=int, nargs="+", default=[1, 2])
    arguments.add_argument("--batch", type=int, default=1)
    arguments.add_argument("--num-runs", type=int, default=40)
    args = arguments.parse_args()
    network = load_weights(args.weights).network() if args.weights else build_network(args.size, seed=0).eval()
    graph = export_graph(network)
    results = []
    for num_threads in args.threads:
        torch.set_num_threads(num_threads)
        engines: dict[str, Engine] = {
            "torch": TorchEngine(network),
            "torch half": TorchEngine(network, half=True),
            "onnx": OnnxEngine(graph, num_threads=num_threads),
        }
        for height, width in INPUTS:
            images = np.random.default_rng(0).integers(0, 256, (args.batch, height, width, 3), dtype=np.uint8)
            timings = measure(
                {name: lambda engine=engine, images=images: engine.run(images) for name, engine in engines.items()},
                num_runs=args.num_runs,
                num_warmups=3,
            )
            apart = largest_differences(engines["torch"].run(images), engines["onnx"].run(images))
            print(f"{width}x{height}, batch {args.batch}, {num_threads} thread(s)")
            for name, timing in timings.items():
                print(f"  {name:<12} {timing}  {timing.p50 / timings['torch'].p50:5.2f} of torch")
            print("  torch and onnx differ by " + ", ".join(f"{name} {value:.0e}" for name, value in apart.items()))
            results.append(
                {
                    "input_size": [height, width],
                    "batch": args.batch,
                    "num_threads": num_threads,
                    "timings_ms": timings,
                    "differences": apart,
                }
            )
    report({"size": args.size, "weights": args.weights or "seeded", "results": results}, args.json)


if __name__ == "__main__":
    main()
