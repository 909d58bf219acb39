"""Missing shared libraries are named."""

import sys

import pytest

from streamseg.cli.doctor_cuda import cuda_libraries


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="ldd is Linux's")
def test_libraries_of_this_machine_are_named():
    finding = cuda_libraries()
    assert finding.state in ("ok", "absent")
    assert finding.remark == "all found" or "missing lib" in finding.remark or "without CUDA" in finding.remark
