"""Time the masks of 100 objects at 1080p, compared with full-frame upsampling of all masks.

python -m benchmarks.masks [--num-objects 100] [--size 1080 1920] [--json FILE]

The baseline is the method of the reference implementations: remove the letterbox padding in whole cells, upsample all K
masks to the full frame (bilinear, align_corners=False) in chunks of 16 M pixels, threshold, crop to the boxes. Both
methods start from the same logits and return binary masks; they are timed in turns in one run with the same number of
threads.
"""

from __future__ import annotations

import cv2
import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from benchmarks.harness import measure, parser, report
from streamseg.geometry import box_area, letterbox
from streamseg.segmentation import instance_masks
from streamseg.structures.instances import Instances

PIXEL_BUDGET = 16_000_000
"""Size of one chunk of the baseline, in pixels."""


def scene(num_objects: int, size: tuple[int, int], imgsz: int, seed: int = 0) -> Instances:
    """Generate smooth blobs in boxes of 4 to 60 % of the frame's sides, log-uniformly distributed."""
    rng = np.random.default_rng(seed)
    place = letterbox(size, imgsz)
    grid_size = (place.input_size[0] // 4, place.input_size[1] // 4)
    height, width = size
    centres = rng.uniform(0, 1, (num_objects, 2)) * (width, height)
    halves = np.exp(rng.uniform(np.log(0.04), np.log(0.6), (num_objects, 2))) * (width, height) / 2
    boxes = np.concatenate([centres - halves, centres + halves], axis=1).clip(0, [width, height] * 2)
    coarse = torch.from_numpy(rng.standard_normal((num_objects, 1, 9, 16), dtype=np.float32)) + 0.5
    return Instances(
        boxes=torch.from_numpy(boxes.astype(np.float32)),
        scores=torch.linspace(1, 0.3, num_objects),
        mask_logits=functional.interpolate(coarse, grid_size, mode="bicubic")[:, 0].contiguous(),
        grid_to_image=place.to_image(4),
        image_size=size,
    )


def full_frame_masks(instances: Instances) -> Tensor:
    """Compute masks bool (K, H, W) by the baseline method."""
    height, width = instances.image_size
    _, grid_height, grid_width = instances.mask_logits.shape
    gain = min(grid_height / height, grid_width / width)
    top, left = int((grid_height - height * gain) / 2), int((grid_width - width * gain) / 2)
    logits = instances.mask_logits[:, top : grid_height - top, left : grid_width - left]
    masks = torch.empty((len(instances), height, width), dtype=torch.bool)
    chunk = max(PIXEL_BUDGET // (height * width), 1)
    for begin in range(0, len(instances), chunk):
        part = logits[None, begin : begin + chunk]
        upsampled = functional.interpolate(part, (height, width), mode="bilinear", align_corners=False)[0]
        torch.gt(upsampled, 0, out=masks[begin : begin + chunk])
    x, y = torch.arange(width)[None, None, :], torch.arange(height)[None, :, None]
    x0, y0, x1, y1 = instances.boxes[:, :, None, None].unbind(1)
    masks &= (x >= x0) & (x < x1)
    masks &= (y >= y0) & (y < y1)
    return masks


def disagreement(instances: Instances) -> float:
    """Return the share of mask pixels on which the two methods differ (whole-cell padding, pixel centres)."""
    ours = np.stack([mask.full(instances.image_size) for mask in instance_masks(instances)])
    theirs = full_frame_masks(instances).numpy()
    return float((ours != theirs).sum() / (ours | theirs).sum())


def main() -> None:
    arguments = parser(__doc__)
    arguments.add_argument("--num-objects", type=int, default=100)
    arguments.add_argument("--size", type=int, nargs=2, default=(1080, 1920), metavar=("H", "W"))
    arguments.add_argument("--imgsz", type=int, default=640)
    arguments.add_argument("--num-threads", type=int, default=1)
    arguments.add_argument("--num-runs", type=int, default=20)
    args = arguments.parse_args()
    torch.set_num_threads(args.num_threads)
    cv2.setNumThreads(args.num_threads)
    instances = scene(args.num_objects, tuple(args.size), args.imgsz)
    with torch.inference_mode():
        timings = measure(
            {
                "streamseg": lambda: instance_masks(instances, as_pixels=True),
                "full frame": lambda: full_frame_masks(instances),
            },
            num_runs=args.num_runs,
            num_warmups=2,
        )
    share = float(box_area(instances.boxes).mean()) / (args.size[0] * args.size[1])
    ratio = timings["full frame"].p50 / timings["streamseg"].p50
    height, width = args.size
    print(
        f"{args.num_objects} masks at {width}x{height} from a {args.imgsz} px input, boxes of {share:.1%} of the frame "
        f"on average, {args.num_threads} thread(s)"
    )
    for name, timing in timings.items():
        print(f"  {name:<12} {timing}")
    print(f"  ratio of the medians {ratio:.1f}, pixels that differ {disagreement(instances):.2%}")
    report(
        {
            "num_objects": args.num_objects,
            "size": list(args.size),
            "imgsz": args.imgsz,
            "mean_box_share": round(share, 4),
            "num_threads": args.num_threads,
            "timings_ms": timings,
            "ratio_p50": round(ratio, 1),
        },
        args.json,
    )


if __name__ == "__main__":
    main()
