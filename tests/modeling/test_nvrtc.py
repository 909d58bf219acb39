"""Compilation by NVRTC: calls in order, errors with the compiler's log, and the library's place."""

import ctypes
from pathlib import Path

import pytest

from streamseg.modeling.nvrtc import compile_source, find_library


class Message:
    """The function that describes a status; returns a pointer unless its result type is set."""

    restype = None

    def __call__(self, status):
        assert self.restype is ctypes.c_char_p
        return b"invalid option" if status == 5 else b"failed"


class Library:
    """NVRTC's interface: knows sm_90, and sources that contain `__global__`."""

    def __init__(self):
        self.num_open = 0
        self.options = []
        self.nvrtcGetErrorString = Message()

    def nvrtcCreateProgram(self, program, source, name, num_headers, headers, names):
        assert name.endswith(b".cu")
        self.source = source
        self.num_open += 1
        return 0

    def nvrtcCompileProgram(self, program, count, options):
        self.options = [options[number].decode() for number in range(count)]
        if "--gpu-architecture=sm_90" not in self.options:
            return 5
        return 0 if b"__global__" in self.source else 6

    def nvrtcGetProgramLogSize(self, program, size):
        size._obj.value = 64
        return 0

    def nvrtcGetProgramLog(self, program, log):
        log.value = b"" if b"__global__" in self.source else b"f.cu(1): error: no kernel\nand more"
        return 0

    def nvrtcGetCUBINSize(self, program, size):
        size._obj.value = 6
        return 0

    def nvrtcGetCUBIN(self, program, binary):
        binary.raw = b"\x7fELF\0\1"
        return 0

    def nvrtcDestroyProgram(self, program):
        self.num_open -= 1
        return 0


def test_machine_code_is_returned_whole_and_without_contraction():
    library = Library()
    assert compile_source(library, "__global__ void f() {}", "f", "sm_90") == b"\x7fELF\0\1"
    assert "--fmad=false" in library.options
    assert library.num_open == 0


@pytest.mark.parametrize(
    ("source", "architecture", "message"),
    [
        pytest.param("void f() {}", "sm_90", "no kernel", id="source"),
        pytest.param("__global__ void f() {}", "sm_20", "invalid option", id="architecture, without a log"),
    ],
)
def test_errors_name_the_reason_and_release_the_program(source, architecture, message):
    library = Library()
    with pytest.raises(RuntimeError, match=message):
        compile_source(library, source, "f", architecture)
    assert library.num_open == 0


def test_missing_library_is_named(tmp_path: Path):
    with pytest.raises(OSError, match=r"libnvrtc\.so\.99 is missing"):
        find_library("99.1", tmp_path)


def test_damaged_library_is_not_used(tmp_path: Path):
    folder = tmp_path / "cuda_nvrtc" / "lib"
    folder.mkdir(parents=True)
    (folder / "libnvrtc.so.99").write_text("text")
    with pytest.raises(OSError, match="is missing"):
        find_library("99.1", tmp_path)
