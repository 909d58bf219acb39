"""Engines: run the network in torch, or as an exported graph in ONNX Runtime or OpenVINO, behind one small protocol.

engine          the `Engine` protocol and its output, `Raw`
build           select and load the engine for a device
host_threads    threads of the processor for the network and for the rest
torch_engine    torch on the CPU and on CUDA
onnx_engine     graphs in ONNX Runtime
openvino_engine graphs in OpenVINO
openvino_model  reading and writing of OpenVINO's models
auto            selection of the fastest engine on the CPU
timing          comparison by the shortest runs
choices         selections remembered between runs
int8_graphs     graphs in 8 bits that belong to weights, and their recorded accuracy
onnx_session    opening of ONNX Runtime sessions
onnx_refiner    the mask refiner as an ONNX graph
export          the network as an ONNX graph, and the folder that caches such graphs
own_graph       properties of graphs written by streamseg
openvino_quantization  graphs in 8 bits for OpenVINO
quantization    exported graphs in 8 bits for ONNX Runtime and TensorRT (experimental)
third_party     graphs that other programs exported
layouts         recognition of their inputs and outputs by shape
"""

from streamseg.engines.build import EngineName, build_engine
from streamseg.engines.engine import CompilesShapes, Engine, Raw, largest_differences
from streamseg.engines.host_threads import has_free_core, leave_core_for_sources, leave_cores

__all__ = [
    "CompilesShapes",
    "Engine",
    "EngineName",
    "Raw",
    "build_engine",
    "has_free_core",
    "largest_differences",
    "leave_core_for_sources",
    "leave_cores",
]
