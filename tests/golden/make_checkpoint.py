"""Write checkpoint/real.pt with the official package, and checkpoint/tensors.json with its contents.

Requires a separate environment with ultralytics 8.0.120 (from the time of FastSAM; AGPL-3.0, none of its code is
copied), torch, setuptools<81 or packaging:

    python tests/golden/make_checkpoint.py

The network has random weights and is so narrow that its file can be stored here. As in FastSAM-x, the number of bins
per box side is changed after construction.
"""

import json
import sys
import types
import zlib
from pathlib import Path

import packaging.version
import torch

FOLDER = Path(__file__).parent / "checkpoint"
WIDTH = 1 / 32
REG_MAX = 8
NUM_MASKS = 8


def import_ultralytics():
    """Import ultralytics with a torchvision without operators and without the obsolete pkg_resources."""
    old = types.ModuleType("pkg_resources")
    old.parse_version, old.parse_requirements, old.require = packaging.version.parse, lambda _: [], lambda _: None
    sys.modules.setdefault("pkg_resources", old)
    library = torch.library.Library("torchvision", "DEF")
    for name in ("nms", "qnms"):
        library.define(f"{name}(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
    import ultralytics

    return ultralytics, library


def main() -> None:
    ultralytics, _library = import_ultralytics()
    import yaml
    from torch import nn
    from ultralytics.nn.modules import DFL, Conv
    from ultralytics.nn.tasks import SegmentationModel
    from ultralytics.yolo.utils import IterableSimpleNamespace

    layout = yaml.safe_load(next(Path(ultralytics.__file__).parent.rglob("yolov8-seg.yaml")).read_text())
    del layout["scales"]
    layout.update(depth_multiple=1 / 3, width_multiple=WIDTH)
    layout["head"][-1][3] = ["nc", NUM_MASKS, 256]
    torch.manual_seed(0)
    model = SegmentationModel(layout, nc=1, verbose=False)
    head = model.model[-1]
    head.reg_max, head.no = REG_MAX, 1 + 4 * REG_MAX
    widths = [branch[0].conv.in_channels for branch in head.cv2]
    hidden = max(16, widths[0] // 4, 4 * REG_MAX)
    head.cv2 = nn.ModuleList(
        nn.Sequential(Conv(width, hidden, 3), Conv(hidden, hidden, 3), nn.Conv2d(hidden, 4 * REG_MAX, 1))
        for width in widths
    )
    head.dfl = DFL(REG_MAX)
    for module in model.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.eps, module.momentum = 1e-3, 0.03
            module.running_mean.normal_(0, 0.1)
            module.running_var.uniform_(0.5, 1.5)
    with torch.no_grad():
        assert model.eval()(torch.rand(1, 3, 64, 64))[0].shape[1] == 4 + 1 + NUM_MASKS
    model = model.train().half()
    model.names = {0: "object"}
    model.args = IterableSimpleNamespace(imgsz=1024, task="segment")
    for parameter in model.parameters():
        parameter.requires_grad = False
    FOLDER.mkdir(exist_ok=True)
    contents = {
        "epoch": -1,
        "best_fitness": None,
        "model": model,
        "ema": None,
        "updates": None,
        "optimizer": None,
        "train_args": {"task": "segment", "imgsz": 1024, "lr0": 0.01, "save_dir": None},
        "date": "2023-06-20T12:00:00.000000",
        "version": ultralytics.__version__,
    }
    torch.save(contents, FOLDER / "real.pt")
    tensors = {
        name: [str(tensor.dtype), list(tensor.shape), zlib.crc32(tensor.contiguous().numpy().tobytes())]
        for name, tensor in model.state_dict().items()
    }
    lines = ",\n".join(f"{json.dumps(name)}: {json.dumps(entry)}" for name, entry in tensors.items())
    (FOLDER / "tensors.json").write_text(f"{{\n{lines}\n}}\n")


if __name__ == "__main__":
    main()
