"""TensorRT's interface on the CPU: plans are graphs, run by ONNX Runtime on the memory at the given addresses."""

import ctypes
from enum import IntEnum

import numpy as np
import onnx
import onnxruntime


class DataType(IntEnum):
    FLOAT = 0
    HALF = 1
    UINT8 = 2


TYPES = {"tensor(float)": DataType.FLOAT, "tensor(float16)": DataType.HALF, "tensor(uint8)": DataType.UINT8}
DTYPES = {DataType.FLOAT: np.float32, DataType.HALF: np.float16, DataType.UINT8: np.uint8}


class Module:
    """The module; counts builds, and remembers their settings."""

    __version__ = "10.14.1"
    DataType = DataType
    NetworkDefinitionCreationFlag = IntEnum("Flag", {"STRONGLY_TYPED": 1})
    MemoryPoolType = IntEnum("Pool", {"WORKSPACE": 0})
    BuilderFlag = IntEnum("BuilderFlag", {"TF32": 7})

    class Logger:
        ERROR = 1

        def __init__(self, severity):
            assert severity == self.ERROR

    def __init__(self):
        self.builds = []
        self.Builder = lambda logger: Builder(self)

    class OnnxParser:
        num_errors = 1

        def __init__(self, network, logger):
            self.network = network

        def parse(self, graph):
            try:
                model = onnx.load_model_from_string(graph)
            except Exception:
                return False
            (first,) = (node for node in model.graph.node if "images" in node.input)
            self.network.graph = graph
            return first.op_type == "Cast"  # TensorRT reads bytes in conversions only

        def get_error(self, number):
            return self

        def desc(self):
            return "not a graph"

    class Runtime:
        def __init__(self, logger):
            pass

        def deserialize_cuda_engine(self, plan):
            return Engine(plan) if plan.startswith(b"plan") else None


class Network:
    graph = b""


class Builder:
    def __init__(self, module):
        self.module = module

    def create_network(self, flags):
        assert flags == 1 << 1  # strongly typed
        return Network()

    def create_builder_config(self):
        return Config()

    def create_optimization_profile(self):
        return Profile()

    def build_serialized_network(self, network, config):
        self.module.builds.append(config)
        config.cache.contents += b"|timed"
        return memoryview(b"plan" + network.graph)


class Profile:
    def set_shape(self, name, low, typical, high):
        assert name == "images"
        self.shapes = [low, typical, high]


class TimingCache:
    def __init__(self, contents):
        self.contents = contents

    def serialize(self):
        return memoryview(self.contents)


class Config:
    def __init__(self):
        self.profiles, self.cleared, self.limits = [], [], {}

    def set_memory_pool_limit(self, pool, limit):
        self.limits[pool] = limit

    def clear_flag(self, flag):
        self.cleared.append(flag)

    def create_timing_cache(self, contents):
        return TimingCache(contents)

    def set_timing_cache(self, cache, ignores_mismatch):
        assert not ignores_mismatch
        self.cache = cache

    def get_timing_cache(self):
        return self.cache

    def add_optimization_profile(self, profile):
        self.profiles.append(profile)


class Engine:
    def __init__(self, plan):
        self.session = onnxruntime.InferenceSession(plan[4:], providers=["CPUExecutionProvider"])
        self.ports = [*self.session.get_inputs(), *self.session.get_outputs()]
        self.num_io_tensors = len(self.ports)

    def get_tensor_name(self, number):
        return self.ports[number].name

    def get_tensor_dtype(self, name):
        return next(TYPES[port.type] for port in self.ports if port.name == name)

    def create_execution_context(self):
        return Context(self)


class Context:
    def __init__(self, engine):
        self.engine, self.addresses, self.profile = engine, {}, None

    def set_optimization_profile_async(self, number, stream):
        self.profile = number

    def set_input_shape(self, name, shape):
        assert self.profile is not None
        self.shape = shape
        zeros = np.zeros(shape, np.uint8)
        names = [port.name for port in self.engine.session.get_outputs()]
        values = self.engine.session.run(names, {name: zeros})
        self.shapes = {name: value.shape for name, value in zip(names, values, strict=True)}

    def get_tensor_shape(self, name):
        return self.shapes[name]

    def set_tensor_address(self, name, address):
        self.addresses[name] = address

    def execute_async_v3(self, stream):
        images = self._array("images", self.shape)
        for name in self.shapes:
            if name not in self.addresses:
                return False
        for name, value in zip(
            self.shapes, self.engine.session.run(list(self.shapes), {"images": images}), strict=True
        ):
            self._array(name, value.shape)[...] = value
        return True

    def _array(self, name, shape):
        dtype = np.dtype(DTYPES[self.engine.get_tensor_dtype(name)])
        size = int(np.prod(shape)) * dtype.itemsize
        return np.frombuffer((ctypes.c_byte * size).from_address(self.addresses[name]), dtype).reshape(shape)
