"""What runs the network: torch, or exported graphs in ONNX Runtime, behind one small protocol."""

from streamseg.segmentation.engines.build import build_engine
from streamseg.segmentation.engines.engine import Engine, Raw, largest_differences
from streamseg.segmentation.engines.threads import leave_cores

__all__ = ["Engine", "Raw", "build_engine", "largest_differences", "leave_cores"]
