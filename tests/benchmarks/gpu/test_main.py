"""The command: what it prints and writes, its exit codes, and the folder for another machine."""

import json
import os
import stat
import subprocess
import sys
import zipfile

import pytest
import torch

from benchmarks.gpu.__main__ import main
from benchmarks.gpu.cases import CASES
from benchmarks.gpu.lines import describe, summary, verdict
from benchmarks.gpu.pack import pack
from tests.support.gpu_measurements import RESULTS, TIMING, act
from tests.support.paths import REPOSITORY

CHECK, FRAMES, STAGES, LIVE = (RESULTS[kind] for kind in ("check", "frames", "stages", "live"))


def record(kind, mode="graph", *, state="measured", case="x1", **values):
    return {"case": case, "kind": kind, "mode": mode, "state": state, "took_seconds": 1.0, **values}


def run(monkeypatch, *arguments, measuring=act):
    monkeypatch.setattr(sys, "argv", ["gpu", *map(str, arguments)])
    return main(measuring)


@pytest.mark.parametrize(
    ("line", "parts"),
    [
        pytest.param(record("check", **CHECK), ["equal to the CPU: 50 of 50"], id="check"),
        pytest.param(record("check", **{**CHECK, "is_equal": False}), ["DIFFERENT FROM THE CPU"], id="different"),
        pytest.param(
            record("check", **CHECK, half={"scores_p99": None, "boxes_px_p99": 0.1, "is_close": False}, peak_mb=912.4),
            ["FAR FROM FLOAT32: p99 scores -, boxes 0.1000 px", "peak 912 MB"],
            id="half precision",
        ),
        pytest.param(record("frames", **FRAMES), ["graph: capture to message p50     1.250", "800 f"], id="frames"),
        pytest.param(
            record("frames", "tensorrt", **FRAMES, build_seconds=61.0, network_ms=TIMING),
            ["plan 61 s, network alone p50"],
            id="TensorRT",
        ),
        pytest.param(
            record("stages", **STAGES),
            ["network 1.25; as one graph p50", "12.3 TFLOPS"],
            id="stages",
        ),
        pytest.param(record("live", **LIVE), ["1 cameras at 30 fps: 30 messages/s"], id="live"),
        pytest.param(
            record("frames", state="failed", reason="OutOfMemoryError: no"), ["graph: failed: OutOf"], id="failed"
        ),
    ],
)
def test_lines(line, parts):
    text = describe(line)
    assert all(part in text for part in parts)


def test_table_has_floors_and_what_was_not_measured():
    records = [
        record("frames", **FRAMES),
        record("frames", "tensorrt", state="unavailable", reason="no TensorRT"),
        record("live", **LIVE),
    ]
    text = summary(records, CASES[:1])
    assert "x at 1024, batch 1: graph 1.25, tensorrt - | -, - | 1.25" in text
    assert "H200 4 to 4.5 ms (network 1.3 to 1.8), RTX 3090 10 to 12 ms (network 7 to 9)" in text
    assert "not measured: x1 frames tensorrt: no TensorRT" in text


@pytest.mark.parametrize(
    ("records", "code", "line"),
    [
        pytest.param([record("check", **CHECK)], 0, "equal to the CPU: x1", id="equal"),
        pytest.param([record("frames", **FRAMES)], 0, "equal to the CPU: not compared", id="not asked for"),
        pytest.param(
            [record("check", **CHECK), record("check", case="s1", **{**CHECK, "is_equal": False})],
            1,
            "DIFFERENT FROM THE CPU: s1",
            id="one differs",
        ),
        pytest.param(
            [record("check", state="failed", reason="exit")], 1, "nothing could be compared", id="none measured"
        ),
    ],
)
def test_exit_code(records, code, line):
    found = verdict(records)
    assert found[0] == code
    assert line in found[1]


def test_results_are_written_and_failures_are_among_them(monkeypatch, tmp_path, capsys):
    file = tmp_path / "gpu.json"
    assert run(monkeypatch, "--device", "cpu", "--cases", "x4", "s8", "--json", file) == 0
    results = json.loads(file.read_text())
    assert {"machine", "versions", "took_seconds", "device"} <= results.keys()
    found = {f"{one['case']} {one['kind']} {one['mode']}": one["state"] for one in results["measurements"]}
    assert found["x4 frames graph"] == "failed"
    assert found["s8 check graph"] == found["s8 frames graph"] == found["s8 live graph"] == "measured"
    assert found["s8 frames tensorrt"] == "unavailable"
    assert not any("eager" in name for name in found)  # the same as graph on a CPU
    output = capsys.readouterr().out
    assert "x4      frames graph: failed: OutOfMemoryError: CUDA out of memory. Tried to allocate 2.00 GiB.\n" in output
    assert "equal to the CPU: x4, s8" in output
    assert output.splitlines()[-1] == f"wrote {file}"


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_without_a_gpu_the_command_names_the_reason(monkeypatch, tmp_path, capsys):
    assert run(monkeypatch, "--json", tmp_path / "gpu.json") == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert "no device 'cuda'" in line
    assert "--device cpu tries the command" in line
    assert not (tmp_path / "gpu.json").exists()


@pytest.mark.parametrize(
    "flag", ["--cases=x2", "--modes=cuda", "--kinds=all", "--seconds=soon", "--device=gpu", "--device=cuda:a"]
)
def test_invalid_flags(monkeypatch, capsys, flag):
    with pytest.raises(SystemExit) as caught:
        run(monkeypatch, flag)
    assert caught.value.code == 2


def test_help(monkeypatch, capsys):
    with pytest.raises(SystemExit) as caught:
        run(monkeypatch, "--help")
    assert caught.value.code == 0
    assert "--json" in capsys.readouterr().out


def test_existing_folder_is_not_packed_into(monkeypatch, tmp_path):
    with pytest.raises(SystemExit, match="name a new folder"):
        run(monkeypatch, "--pack", tmp_path)


WHEELS = {
    "pydantic-2.whl": {"pydantic/main.py": "", "pydantic/tests/x.py": "", "pydantic/main.pyi": ""},
    "onnx-1.whl": {"onnx/helper.py": "", "onnx/backend/test/data.pb": "", "onnx/checker.cc": ""},
    "scipy-1.whl": {"scipy/optimize/_lsap.so": "", "scipy/linalg/x.so": "", "scipy-1.dist-info/LICENSE.txt": ""},
}


def download(python, folder):
    """Provide wheels in place of pip's."""
    assert python == "3.13"
    for name, members in WHEELS.items():
        with zipfile.ZipFile(folder / name, "w") as archive:
            for member, text in members.items():
                archive.writestr(member, text)


def test_folder_contains_what_the_benchmark_imports(tmp_path):
    folder = tmp_path / "gpu-bench"
    assert f"wrote {folder}, " in pack(folder, "3.13", download=download)
    size = sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
    assert size < 8_000_000  # without the packages
    with zipfile.ZipFile(folder / "site.zip") as archive:
        names = {name for name in archive.namelist() if not name.endswith("/")}
    assert names == {
        *("pydantic/main.py", "onnx/helper.py", "scipy-1.dist-info/LICENSE.txt"),
        *("scipy/__init__.py", "scipy/optimize/__init__.py", "scipy/optimize/_lsap.so"),
    }
    assert (folder / "run").stat().st_mode & stat.S_IXUSR
    assert not [path for path in folder.rglob("*") if path.suffix in (".safetensors", ".pyc")]
    # The code in the folder, not that of this repository, starts and imports no other module of the benchmarks.
    found = subprocess.run(
        [sys.executable, "-m", "benchmarks.gpu", "--help"],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(folder), "PYTHONSAFEPATH": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert found.returncode == 0, found.stderr
    code = "import benchmarks.gpu.measure as m; print(m.__file__)"
    printed = subprocess.run(
        [sys.executable, "-c", code], cwd=folder, env={**os.environ, "PYTHONPATH": str(folder)}, capture_output=True
    ).stdout
    assert str(folder) in printed.decode()
    assert str(REPOSITORY) not in printed.decode()


def test_too_large_folders_are_refused(tmp_path):
    with pytest.raises(SystemExit, match="0 are allowed"):
        pack(tmp_path / "new", "3.13", download=download, max_bytes=1000)
