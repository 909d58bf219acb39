"""`streamseg doctor`: report what is installed, what is missing, and how to fix it; and try the cameras."""

from __future__ import annotations

import argparse
import importlib
import os
import platform
from collections.abc import Iterator
from importlib import metadata
from itertools import chain

from streamseg import __version__
from streamseg.cli.doctor_cuda import cuda_libraries
from streamseg.cli.doctor_sources import examine_config
from streamseg.cli.findings import Finding, print_finding
from streamseg.cli.run_arguments import add_config_arguments, config_from_arguments
from streamseg.errors import ConfigError, StreamsegError, WeightsError

__all__ = ["add_parser", "examine", "run"]

MAX_TIMEOUT_SECONDS = 3600.0

PACKAGES = (
    ("mcap", "mcap", "pip install 'streamseg[record]' for MCAP files"),
    ("rosbags", "rosbags", "pip install 'streamseg[ros]' for the ROS 2 node; also part of record and foxglove"),
    ("foxglove", "foxglove-sdk", "pip install 'streamseg[foxglove]' for --foxglove"),
    ("rerun", "rerun-sdk", "pip install 'streamseg[rerun]' for --rerun"),
    ("paho", "paho-mqtt", "pip install 'streamseg[mqtt]' for --mqtt"),
    ("supervision", "supervision", "pip install 'streamseg[zones]' for zones and lines"),
    ("ray", "ray", "pip install 'streamseg[fleet]' for fleets and batches on several machines"),
    ("nncf", "nncf", "pip install 'streamseg[quantize]' for networks in 8 bits"),
)
"""Module, distribution and purpose of optional packages that are found without an import."""


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add `doctor` to the command line."""
    parser = subparsers.add_parser(
        "doctor",
        help="report what is installed, what is missing, and how to fix it",
        description="Report what is installed, what is missing, and how to fix it. With a configuration or sources,"
        " also check it and try its cameras, streams and files one by one. Exit code 1 if a required part or a source"
        " is broken.",
    )
    add_config_arguments(parser)
    parser.add_argument(
        "--timeout", type=float, default=15.0, metavar="S", help="wait S seconds for the first image (default: 15)"
    )
    parser.set_defaults(command=run)


def run(args: argparse.Namespace) -> int:
    """Print the report; exit code 1 if a required part or a source is broken.

    Raises:
        ConfigError: the configuration is invalid.
    """
    if not 0 < args.timeout <= MAX_TIMEOUT_SECONDS:
        raise ConfigError(
            f"--timeout must be above 0 and at most {MAX_TIMEOUT_SECONDS:g} seconds, got {args.timeout:g}"
        )
    config = config_from_arguments(args) if args.inputs or args.source else None
    print(f"streamseg {__version__}, Python {platform.python_version()}, {platform.platform()}, {os.cpu_count()} CPUs")
    findings: Iterator[Finding] = iter(examine())
    if config is not None:
        findings = chain(findings, examine_config(config, timeout_seconds=args.timeout))
    is_broken = False
    for finding in findings:
        print_finding(finding)
        is_broken |= finding.state == "broken"
    return 1 if is_broken else 0


def examine() -> list[Finding]:
    """Check every dependency. Never raises."""
    return [
        _module("torch", needed="to segment with PyTorch and to train"),
        _cuda(),
        _torchvision(),
        _module("onnxruntime", needed="to segment with ONNX Runtime"),
        _providers(),
        cuda_libraries(),
        _two_runtimes(),
        _module("cv2", needed="for webcams and images"),
        _module("av", needed="for video files and RTSP"),
        _module("zmq", needed="to publish and subscribe"),
        _module("onnx", needed="to export networks, and for ONNX Runtime on the CPU"),
        _module("pycocotools", optional="pip install 'streamseg[train,eval]' to train and evaluate"),
        _module("matplotlib", optional="pip install 'streamseg[eval]' to plot"),
        _module("aiohttp", optional="pip install 'streamseg[viewer]' for the page"),
        _module("prometheus_client", optional="pip install 'streamseg[metrics]' for --metrics"),
        _openvino(),
        _module("tensorrt", optional="pip install tensorrt-cu13 for the TensorRT engine on an NVIDIA GPU"),
        _module("tokenizers", optional="pip install 'streamseg[text]' for text prompts"),
        _module("transformers", optional="pip install 'streamseg[tiers]' for models of transformers"),
        _module("pi_heif", optional="pip install 'streamseg[heic]' to read HEIC images"),
        *(_package(*one) for one in PACKAGES),
        _default_weights(),
        _official_weights(),
        _configurations(),
    ]


def _module(name: str, *, needed: str = "", optional: str = "") -> Finding:
    try:
        module = importlib.import_module(name)
    except (ImportError, OSError, RuntimeError) as error:
        reason = str(error).splitlines()[0]
        if optional:
            return Finding(name, "absent", optional)
        return Finding(name, "broken", f"needed {needed}: {reason}")
    return Finding(name, "ok", str(getattr(module, "__version__", "")))


def _package(module: str, distribution: str, optional: str) -> Finding:
    """Check an optional package without importing it, which takes seconds for some."""
    try:
        return Finding(module, "ok", metadata.version(distribution))
    except metadata.PackageNotFoundError:
        return Finding(module, "absent", optional)


def _cuda() -> Finding:
    try:
        import torch
    except (ImportError, OSError) as error:
        return Finding("CUDA", "absent", str(error).splitlines()[0])
    if torch.cuda.is_available():
        return Finding("CUDA", "ok", f"{torch.cuda.get_device_name()} (CUDA {torch.version.cuda})")
    build = f"torch is built for CUDA {torch.version.cuda}" if torch.version.cuda else "torch is a CPU build"
    return Finding("CUDA", "absent", f"no GPU available: {build}; everything runs on the CPU")


def _torchvision() -> Finding:
    """Check torchvision, whose wheel loads only with the matching CUDA build of torch; streamseg works without it."""
    finding = _module("torchvision", optional="not needed by streamseg")
    if finding.state == "absent":
        return Finding("torchvision", "absent", "missing, or built for another torch; streamseg works without it")
    return finding


def _openvino() -> Finding:
    try:
        from streamseg.engines.openvino_model import can_use_openvino, load_openvino

        if not can_use_openvino():
            return Finding("openvino", "absent", "pip install 'streamseg[openvino]' for the OpenVINO engine")
        return Finding("openvino", "ok", str(load_openvino().__version__))
    except (ImportError, OSError, StreamsegError) as error:
        return Finding("openvino", "absent", str(error).splitlines()[0])


def _providers() -> Finding:
    try:
        import onnxruntime
    except (ImportError, OSError) as error:
        return Finding("ONNX providers", "absent", str(error).splitlines()[0])
    names = [name.removesuffix("ExecutionProvider") for name in onnxruntime.get_available_providers()]
    return Finding(
        "ONNX providers", "ok", f"built with {', '.join(names)}; whether one works is known only once it is used"
    )


def _two_runtimes() -> Finding:
    installed = {distribution.metadata["Name"] for distribution in metadata.distributions()}
    if {"onnxruntime", "onnxruntime-gpu"} <= installed:
        return Finding(
            "onnxruntime",
            "broken",
            "both onnxruntime and onnxruntime-gpu are installed, which disables CUDA; uninstall onnxruntime",
        )
    if {"opencv-python", "opencv-python-headless"} <= installed:
        return Finding(
            "opencv",
            "broken",
            "opencv-python and opencv-python-headless share one folder; uninstall both, then install one",
        )
    return Finding("conflicts", "ok", "none between OpenCV and ONNX Runtime packages")


def _default_weights() -> Finding:
    try:
        from streamseg.weights.embedded import DEFAULT, DEFAULT_IS, embedded_path

        path = embedded_path(DEFAULT)
    except (ImportError, OSError, WeightsError) as error:
        return Finding("default weights", "broken", str(error).splitlines()[0])
    return Finding("default weights", "ok", f"embedded, {DEFAULT_IS}, {path.stat().st_size / 1e6:.1f} MB")


def _official_weights() -> Finding:
    try:
        from streamseg.weights.catalogue import CATALOGUE, edition_at
        from streamseg.weights.resolve import cached_weights_path
    except (ImportError, OSError) as error:
        return Finding("official weights", "absent", str(error).splitlines()[0])
    found = [(entry, cached_weights_path(entry)) for entry in CATALOGUE if cached_weights_path(entry).is_file()]
    cached = [f"{entry.name} at {path}" for entry, path in found if edition_at(path, entry.files) is not None]
    if not cached:
        return Finding("official weights", "absent", "optional: `streamseg weights get FastSAM-s` downloads them")
    return Finding("official weights", "ok", ", ".join(cached))


def _configurations() -> Finding:
    try:
        from streamseg.config.included import included_configs
    except (ImportError, OSError) as error:
        return Finding("configurations", "broken", str(error).splitlines()[0])
    included = included_configs()
    if not included:
        return Finding("configurations", "broken", "assets/configs is empty; reinstall streamseg")
    return Finding("configurations", "ok", f"{', '.join(included)} in {next(iter(included.values())).parent}")
