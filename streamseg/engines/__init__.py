"""Engines: run the network in torch, or as an exported graph in ONNX Runtime, behind one small protocol.

engine          the `Engine` protocol and its output, `Raw`
build           select and load the engine for a device
torch_engine    torch on the CPU and on CUDA
onnx_engine     graphs in ONNX Runtime
onnx_session    opening of ONNX Runtime sessions
onnx_refiner    the mask refiner as an ONNX graph
export          the network as an ONNX graph, and the folder that caches such graphs
quantization    exported graphs in 8 bits (experimental)
third_party     graphs that other programs exported
layouts         recognition of their inputs and outputs by shape
"""

from streamseg.engines.build import build_engine, leave_cores
from streamseg.engines.engine import Engine, Raw, largest_differences

__all__ = ["Engine", "Raw", "build_engine", "largest_differences", "leave_cores"]
