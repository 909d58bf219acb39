"""What runs the network: torch, or exported graphs in ONNX Runtime, behind one small protocol."""

from streamseg.engines.build import build_engine
from streamseg.engines.engine import Engine, Raw, largest_differences
from streamseg.engines.threads import leave_cores

__all__ = ["Engine", "Raw", "build_engine", "largest_differences", "leave_cores"]
