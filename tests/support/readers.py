"""Readers of the wire format in other languages, as commands that print a line of JSON per message."""

from __future__ import annotations

import json
import shutil
import subprocess
import zlib
from pathlib import Path
from typing import Any

import pytest

from streamseg.structures.message import Message

CLIENT = Path(__file__).parents[2] / "client"
CPP_HEADERS = ("zmq.hpp", "nlohmann/json.hpp", "zlib.h")
RUST_REGISTRY = Path("/usr/share/cargo/registry")
RUST_CRATES = ("zmq", "serde_json", "flate2")
RUN_SECONDS = 100


def cpp_reader(folder: Path) -> list[str]:
    """Compile the reader in C++; skip if the compiler or a library is missing."""
    compiler = shutil.which("g++")
    if compiler is None:
        pytest.skip("needs g++")
    missing = [name for name in CPP_HEADERS if not (Path("/usr/include") / name).exists()]
    if missing:
        pytest.skip(f"needs {', '.join(missing)} (apt install cppzmq-dev nlohmann-json3-dev zlib1g-dev)")
    program = folder / "watch"
    warnings = ["-std=c++17", "-Wall", "-Wextra", "-Werror"]
    # Out-of-bounds accesses and overflows end the program, which fails the test.
    checks = ["-O0", "-fsanitize=address,undefined", "-fno-sanitize-recover=all"]
    subprocess.run(
        [compiler, *warnings, *checks, CLIENT / "cpp" / "watch.cpp", "-o", program, "-lzmq", "-lz"], check=True
    )
    return [str(program)]


def rust_reader(folder: Path) -> list[str]:
    """Compile the reader in Rust with Debian's packages of its libraries; skip if one or the compiler is missing."""
    cargo = shutil.which("cargo")
    if cargo is None:
        pytest.skip("needs cargo")
    if missing := [name for name in RUST_CRATES if not any(RUST_REGISTRY.glob(f"{name}-[0-9]*"))]:
        packages = " ".join(f"librust-{name.replace('_', '-')}-dev" for name in missing)
        pytest.skip(f"needs {', '.join(missing)} (apt install {packages} libzmq3-dev)")
    # Cargo writes a lock file beside the sources, with the versions that are installed.
    sources = shutil.copytree(CLIENT / "rust", folder / "rust", ignore=shutil.ignore_patterns("target", "Cargo.lock"))
    settings = ['source.crates-io.replace-with="debian"', f'source.debian.directory="{RUST_REGISTRY}"']
    options = [option for setting in settings for option in ("--config", setting)]
    # Overflows end the program, as in every build without optimisation, which fails the test.
    command = [cargo, "build", "--offline", "--quiet", "--example", "watch", "--target-dir", "target", *options]
    subprocess.run(command, cwd=sources, check=True)
    return [str(sources / "target" / "debug" / "examples" / "watch")]


def node_reader(*, has_zeromq: bool = False) -> list[str]:
    """Return the command of the reader in Node; skip if Node, or its package zeromq if required, is missing."""
    node = shutil.which("node")
    if node is None:
        pytest.skip("needs node")
    if has_zeromq and not (CLIENT / "node" / "node_modules" / "zeromq").is_dir():
        pytest.skip("needs npm install --prefix client/node")
    return [node, str(CLIENT / "node" / "watch.js")]


def read_files(reader: list[str], paths: list[Path]) -> list[dict[str, Any]]:
    """Return what a reader says of messages in files."""
    ran = subprocess.run([*reader, "--files", *paths], capture_output=True, text=True, timeout=RUN_SECONDS)
    assert ran.returncode == 0, ran.stderr
    return [json.loads(line) for line in ran.stdout.splitlines()]


def summary(message: Message) -> dict[str, Any]:
    """Return what a reader must say of a message."""
    return {
        "source": message.source_id,
        "epoch": message.epoch,
        "seq": message.seq,
        "index": message.frame_index,
        "stamp_ns": str(message.captured_ns),
        "clock": message.clock,
        "age_ms": message.age_ms,
        "pts_seconds": message.pts_seconds,
        "frame_id": message.frame_id,
        "image": [message.image_size[1], message.image_size[0]],
        "mask_space": [message.mask_size[1], message.mask_size[0]],
        "mask_to_image": list(message.mask_to_image),
        "objects": [
            {
                "track_id": found.track_id,
                "prompt_ids": list(found.prompt_ids),
                "box": list(found.box),
                "score": found.score,
                "label": found.label,
                "crop": [found.mask.x, found.mask.y, *found.mask.crop.shape[::-1]],
                "area": int(found.mask.crop.sum()),
                "crc32": zlib.crc32(found.mask.crop.tobytes()),
            }
            for found in message.objects
        ],
        "prompts": [
            {
                "id": status.prompt_id,
                "state": status.state,
                "confidence": status.confidence,
                "track_id": status.track_id,
                "mask_quality": status.mask_quality,
            }
            for status in message.prompts
        ],
        "jpeg_bytes": len(message.jpeg or b""),
    }
