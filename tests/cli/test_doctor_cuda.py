"""Missing shared libraries are named."""

import subprocess
import sys
from pathlib import Path

import pytest

from streamseg.cli.doctor_cuda import cuda_libraries, missing_libraries

pytestmark = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="ldd is Linux's")


def test_libraries_of_this_machine_are_named():
    finding = cuda_libraries()
    assert finding.state in ("ok", "absent")
    assert finding.remark == "all found" or "missing lib" in finding.remark or "without CUDA" in finding.remark


def test_complete_library_misses_nothing():
    assert missing_libraries(Path(sys.executable).resolve()) == []


def test_what_is_no_library_is_an_error(tmp_path: Path):
    (tmp_path / "lib.so").write_text("text")
    with pytest.raises(subprocess.SubprocessError):
        missing_libraries(tmp_path / "lib.so")
