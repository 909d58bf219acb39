"""CUDA sources run on the CPU: compiled by g++, with a thread per CUDA thread, block after block."""

import ctypes
import shutil
import subprocess

import pytest
import torch

from streamseg.modeling.cuda_kernel import started

NEEDS_COMPILER = pytest.mark.skipif(shutil.which("g++") is None, reason="needs g++")

SHIM = """
#include <algorithm>
#include <atomic>
#include <barrier>
#include <cmath>
#include <thread>
#include <vector>
struct Index { unsigned x = 0, y = 0, z = 0; };
static thread_local Index threadIdx;
static Index blockIdx, blockDim, gridDim;
static std::barrier<>* barrier = nullptr;
static void __syncthreads() { barrier->arrive_and_wait(); }
static void atomicAdd(float* sum, float value) { std::atomic_ref<float>(*sum).fetch_add(value); }
using std::min; using std::max;
#define __global__
#define __device__ static
#define __shared__ static
#define __forceinline__ inline
"""

RUNNER = """
extern "C" void run(int num_blocks, int num_threads, void** p) {{
    blockDim.x = num_threads; gridDim.x = num_blocks;
    std::barrier<> rendezvous(num_threads);
    barrier = &rendezvous;
    std::vector<std::thread> threads;
    for (int t = 0; t < num_threads; ++t) threads.emplace_back([=] {{
        threadIdx.x = t;
        for (int b = 0; b < num_blocks; ++b) {{
            __syncthreads();
            if (t == 0) blockIdx.x = b;
            __syncthreads();
            {name}({arguments});
        }}
    }});
    for (auto& one : threads) one.join();
}}
"""


def compile_on_host(kernel, folder, *, num_threads=4):
    """Return a function like `CudaKernel.compiled` returns it; blocks have at most `num_threads` threads."""
    arguments = ", ".join(f"*({kind}*)p[{number}]" for number, kind in enumerate(kernel.parameters))
    path = folder / f"{kernel.name}.cpp"
    path.write_text(SHIM + kernel.source + RUNNER.format(name=kernel.name, arguments=arguments))
    library = path.with_suffix(".so")
    flags = ["-std=c++20", "-shared", "-fPIC", "-O1", "-ffp-contract=off", "-pthread"]
    subprocess.run(["g++", *flags, str(path), "-o", str(library)], check=True, capture_output=True, text=True)
    run = ctypes.CDLL(str(library)).run

    def start(num_blocks, threads, values):
        held = [_held(value) for value in values]
        run(num_blocks, min(threads, num_threads), (ctypes.c_void_p * len(held))(*map(ctypes.addressof, held)))

    return start


def _held(value):
    if isinstance(value, torch.Tensor):
        return ctypes.c_void_p(value.data_ptr())
    return ctypes.c_double(value) if isinstance(value, float) else ctypes.c_int(value)


def run_on_host(kernel, start, *inputs):
    """Return the results of the CUDA source for inputs on the CPU."""
    launch = kernel.launch(*inputs)
    assert kernel.mismatch(launch) is None
    return started(start, launch)
