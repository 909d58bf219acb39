"""Cases of time and of display metadata."""

from __future__ import annotations

import json

import av
import numpy as np

from benchmarks.cases.harness import Case, Workspace, frame_seconds, read_frames, require

__all__ = ["CASES"]


def reordered(workspace: Workspace, name: str) -> str:
    """Frame times of the overlay step by 0.1 s."""
    workspace.streamseg("segment", workspace.inputs / name, "--out", "o").require(0)
    times = frame_seconds((workspace.results / "o" / name).with_suffix(".mp4"))
    steps = np.diff(times)
    got = f"{len(times)} frames, steps {steps.min():.4f} to {steps.max():.4f} s"
    require(len(times) == 20 and np.allclose(steps, 0.1, atol=0.001), got)
    return got


def joined(workspace: Workspace, name: str) -> str:
    """The overlay lasts about 4 s, and no frames share a moment."""
    workspace.streamseg("segment", workspace.inputs / name, "--out", "o").require(0)
    times = frame_seconds((workspace.results / "o" / name).with_suffix(".mp4"))
    steps = np.diff(times)
    got = f"{len(times)} frames in {times[-1] - times[0] + 0.1:.1f} s, steps {steps.min():.4f} to {steps.max():.4f} s"
    require(len(times) >= 38 and 3.8 <= times[-1] - times[0] + 0.1 <= 4.4 and steps.min() > 0.05, got)
    return got


def gap(workspace: Workspace, name: str) -> str:
    """`segment` and `run` both write all frames; the gap stays."""
    workspace.streamseg("segment", workspace.inputs / name, "--out", "o").require(0)
    run = workspace.streamseg("run", "--source", workspace.inputs / name, "--no-publish", "--out", "r.mp4")
    run.require(0)
    found = []
    for path in ((workspace.results / "o" / name).with_suffix(".mp4"), workspace.results / "r.mp4"):
        times = frame_seconds(path)
        found.append(f"{len(times)} frames in {times[-1] - times[0]:.1f} s")
        require(len(times) == 20 and abs(times[-1] - times[0] - 32401.9) < 0.11, ", ".join(found))
        require(bool((np.diff(times) > 0.05).all()), "frames at the same moment")
    return ", ".join(found)


def mirrored(workspace: Workspace, name: str) -> str:
    """The overlay shows the display that the file requests: the stored image, mirrored."""
    workspace.streamseg("segment", workspace.inputs / name, "--out", "o").require(0)
    (stored,), _ = read_frames(workspace.inputs / name, 1)
    (shown,), _ = read_frames(workspace.results / "o" / name, 1)
    with av.open(str(workspace.inputs / name)) as container:
        frame = next(iter(container.decode(video=0)))
        matrix = np.frombuffer(bytes(frame.side_data["DISPLAYMATRIX"]), np.int32).reshape(3, 3)
    expected = stored
    if matrix[0, 0] < 0:
        expected = expected[:, ::-1]
    if matrix[1, 1] < 0:
        expected = expected[::-1]
    require(shown.shape == expected.shape, f"size {shown.shape}, not {expected.shape}")
    candidates = {
        "as stored": stored,
        "mirrored": stored[:, ::-1],
        "upside down": stored[::-1],
        "turned by 180 degrees": stored[::-1, ::-1],
    }
    # Masks cover a part of the image, equally in all candidates.
    distances = {kind: float(np.abs(one.astype(float) - shown).mean()) for kind, one in candidates.items()}
    best = min(distances, key=distances.__getitem__)
    require(np.array_equal(candidates[best], expected), f"{best}: {distances}")
    return f"{best}, mean difference {distances[best]:.1f}"


def anamorphic(workspace: Workspace, name: str) -> str:
    """The overlay is displayed as wide as the input: by its sample aspect ratio or by its width."""
    workspace.streamseg("segment", workspace.inputs / name, "--out", "o").require(0)
    (image,), ratio = read_frames(workspace.results / "o" / name, 1)
    height, width = image.shape[:2]
    got = f"{width}x{height}, sample aspect ratio {ratio}"
    require(height == 200 and width * ratio == 640, got)
    return got


def raw_live(workspace: Workspace, name: str) -> str:
    """A live playback lasts 0.8 s, the nominal time of 20 frames at 25 fps."""
    source = {"type": "stream", "id": "c", "url": str(workspace.inputs / name), "mode": "live"}
    config = {"sources": [source], "output": {"messages": "m.jsonl"}, "segmentation": {"imgsz": 128}}
    (workspace.results / "c.yaml").write_text(json.dumps(config))
    done = workspace.streamseg("run", "c.yaml", "--no-publish").require(0)
    require("fps" in done.output, done.output)
    messages = [json.loads(line) for line in (workspace.results / "m.jsonl").read_text().splitlines()]
    require(messages, f"no frame: {done.output[-200:]}")
    # How many frames wait for the network depends on the machine; their times do not.
    errors = [abs(one["pts_seconds"] - one["index"] / 25) for one in messages]
    got = f"{len(messages)} frames, last {messages[-1]['index']} at {messages[-1]['pts_seconds']:.2f} s"
    require(max(errors) < 0.002, f"{got}: wrong by {max(errors):.3f} s")
    played = workspace.python(
        "import time; from streamseg.capture import open_source; from streamseg.config import StreamSource\n"
        f"source = open_source(StreamSource(id='c', url=I + {name!r}, mode='live'))\n"
        "times = [(frame.index, time.monotonic()) for frame in source.frames()]\n"
        "print('frames', len(times), times[-1][0], round(times[-1][1] - times[0][1], 3))"
    ).require(0)
    _, count, index, seconds = next(line for line in played.output.splitlines() if "frames" in line).split()
    got += f"; the source alone: {count} of 20 frames in {seconds} s"
    require(int(count) >= 10 and int(index) >= 17 and 0.6 <= float(seconds) <= 1.5, got)
    return got


def cover(workspace: Workspace, name: str) -> str:
    """One line says that there is no video, and nothing is written."""
    done = workspace.streamseg("segment", workspace.inputs / name, "--out", "o").require(2)
    require("no video" in done.error, done.error)
    files = [path.name for path in (workspace.results / "o").rglob("*") if path.is_file()]
    require(not files, f"wrote {files}")
    return done.error.strip()[-120:]


CASES = (
    Case("avi_bframes.avi", "frame times step by 0.1 s", reordered),
    Case("joined_restart.ts", "about 4 s, no two frames at one moment", joined),
    Case("gap9h.mkv", "20 frames with the gap of 9 hours, segment and run", gap),
    Case("mirrored.mp4", "the image is mirrored as ffmpeg does", mirrored),
    Case("anamorphic.mp4", "sample aspect ratio 2:1, or 640 wide", anamorphic),
    Case("raw.h264", "live: played at 25 fps", raw_live),
    Case("cover.m4a", "says that it holds no video", cover),
)
