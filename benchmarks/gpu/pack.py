"""Pack `scripts/bench gpu` for a machine that has torch, NumPy and OpenCV alone, and no network.

The folder contains the code, the few packages that it imports beside those three in one archive, and the script `run`,
which unpacks them: nothing is installed. Of SciPy, which is larger than everything else together, it contains the one
compiled module that tracking uses.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final

__all__ = ["MAX_BYTES", "download_wheels", "pack"]

ROOT: Final = Path(__file__).parents[2]
MAX_BYTES: Final = 20_000_000

PACKAGES: Final = (
    *("annotated-types", "pillow", "platformdirs", "pydantic", "pydantic-core", "pyyaml", "pyzmq", "safetensors"),
    *("threadpoolctl", "typing-extensions", "typing-inspection"),
    *("ml-dtypes", "onnx", "protobuf"),  # writes graphs for TensorRT and ONNX Runtime
)
"""What the benchmark imports beside torch, NumPy, OpenCV and SciPy."""

UNUSED: Final = ("/tests/", "onnx/backend/test/", "onnx/reference/", "_avif.", "libavif-", "/sboms/")
"""Parts of paths in these packages that the benchmark never reads."""

SCIPY_MODULE: Final = "scipy/optimize/_lsap."
SCIPY: Final = "from scipy.optimize._lsap import linear_sum_assignment\n"
SCIPY_INIT: Final = '"""A part of SciPy (BSD-3-Clause, scipy.org): the assignment of minimum cost."""\n'

RUN: Final = """\
#!/usr/bin/env bash
# Measures this machine's GPU; --device cpu tries it without one. Needs python3 with torch, numpy and opencv.
cd "$(dirname "$0")"
[ -d site ] || "${PYTHON:-python3}" -m zipfile -e site.zip site
PYTHONPATH="$PWD:$PWD/site" exec "${PYTHON:-python3}" -m benchmarks.gpu --json gpu.json "$@"
"""


def pack(
    folder: Path,
    python: str,
    *,
    download: Callable[[str, Path], None] | None = None,
    max_bytes: int = MAX_BYTES,
) -> str:
    """Write the folder for another machine, and return a line about it.

    Args:
        folder: is created.
        python: version of Python of that machine, such as `3.12`.
        download: puts the wheels of the packages for a version of Python into a folder; None: from pip.
        max_bytes: allowed size.

    Raises:
        SystemExit: the folder exists or would be too large, or pip cannot provide the packages.
    """
    if folder.exists():
        raise SystemExit(f"bench gpu: {folder} exists; name a new folder")
    site = folder / "site"
    site.mkdir(parents=True)
    with TemporaryDirectory() as wheels:
        (download or download_wheels)(python, Path(wheels))
        for wheel in sorted(Path(wheels).glob("*.whl")):
            with zipfile.ZipFile(wheel) as archive:
                archive.extractall(site, [name for name in archive.namelist() if _belongs(wheel.name, name)])
    (site / "scipy" / "optimize" / "__init__.py").write_text(SCIPY, encoding="utf-8")
    (site / "scipy" / "__init__.py").write_text(SCIPY_INIT, encoding="utf-8")
    shutil.make_archive(str(site), "zip", site)
    shutil.rmtree(site)
    ignored = shutil.ignore_patterns("__pycache__", "*.safetensors", "*-int8.*", "page", "*.pyc")
    shutil.copytree(ROOT / "streamseg", folder / "streamseg", ignore=ignored)
    shutil.copytree(ROOT / "benchmarks" / "gpu", folder / "benchmarks" / "gpu", ignore=ignored)
    for name in ("__init__", "harness", "lively"):
        shutil.copy(ROOT / "benchmarks" / f"{name}.py", folder / "benchmarks")
    shutil.copy(ROOT / "LICENSE", folder)
    (folder / "run").write_text(RUN, encoding="utf-8")
    (folder / "run").chmod(0o755)
    size = sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
    if size > max_bytes:
        raise SystemExit(f"bench gpu: {folder} has {size / 1e6:.1f} MB; {max_bytes / 1e6:.0f} are allowed")
    return f"wrote {folder}, {size / 1e6:.1f} MB, for Python {python}; there: {folder / 'run'}"


def download_wheels(python: str, folder: Path) -> None:
    """Download the wheels of `PACKAGES` and SciPy for a version of Python; raises SystemExit if pip cannot."""
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--only-binary=:all:"]
    command += ["--python-version", python, "--constraint", str(ROOT / "constraints.txt"), "--dest", str(folder)]
    result = subprocess.run([*command, *PACKAGES, "scipy"], check=False, capture_output=True, text=True)
    if result.returncode:
        raise SystemExit(f"bench gpu: pip cannot download the packages: {result.stderr.strip().splitlines()[-1]}")


def _belongs(wheel: str, name: str) -> bool:
    """Return whether a file of a wheel is packed."""
    if wheel.startswith("scipy-"):
        return name.startswith(SCIPY_MODULE) or name.endswith(".dist-info/LICENSE.txt")
    return not name.endswith((".pyi", "/RECORD", ".h", ".cc", ".proto")) and not any(part in name for part in UNUSED)
