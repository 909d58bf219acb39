"""Missing shared libraries are named, with what to install."""

import subprocess
import sys
from pathlib import Path

import pytest

from streamseg.engines.shared_libraries import cuda_mismatch, missing_libraries, remedy

LINUX = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="ldd is Linux's")


@LINUX
def test_complete_library_misses_nothing():
    assert missing_libraries(Path(sys.executable).resolve()) == []


@LINUX
def test_what_is_no_library_is_an_error(tmp_path: Path):
    (tmp_path / "lib.so").write_text("text")
    with pytest.raises(subprocess.SubprocessError):
        missing_libraries(tmp_path / "lib.so")


@pytest.mark.parametrize(
    ("missing", "expected"),
    [
        pytest.param(["libcuda.so.1"], "the driver of the GPU", id="driver"),
        pytest.param(["libcublas.so.13", "libcuda.so.1"], "pip install 'onnxruntime-gpu[cuda,cudnn]'", id="CUDA"),
        pytest.param(["libnvinfer.so.10"], "pip install 'onnxruntime-gpu[cuda,cudnn]' tensorrt", id="TensorRT"),
    ],
)
def test_remedy_fits_the_missing_libraries(missing: list[str], expected: str):
    assert remedy(missing) == expected


@pytest.mark.parametrize(
    ("missing", "torch_cuda", "expected"),
    [
        pytest.param(["libcudart.so.13", "libcublas.so.13"], "12.8", "torch is built for 12.8", id="differ"),
        pytest.param(["libcublas.so.13"], "13.0", None, id="same"),
        pytest.param(["libcublas.so.13"], None, None, id="cpu-build"),
        pytest.param(["libcuda.so.1"], "12.8", None, id="driver-only"),
        pytest.param([], "12.8", None, id="nothing-missing"),
    ],
)
def test_cuda_versions_that_do_not_fit_are_named(missing: list[str], torch_cuda: str | None, expected: str | None):
    found = cuda_mismatch(missing, torch_cuda)
    assert found is None if expected is None else expected in found and "whl/cu130" in found
