#!/usr/bin/env python3
"""Where is the object that was meant? A robot's node: box, centroid and bearing, newest frame first.

    python scripts/examples/robot_node.py --point 320,240           select what is there, and follow it
    python scripts/examples/robot_node.py --id click-1              follow what somebody else selected

Needs streamseg with numpy and pyzmq, nothing else. `observe` is what to call from a node of your own;
`main` prints what it returns.
"""

from __future__ import annotations

import argparse
import math
import sys
import time
from dataclasses import dataclass

from streamseg.errors import StreamsegError
from streamseg.publish import ControlClient, Subscriber, message_age_ms
from streamseg.structures.message import Message

SILENT_SECONDS = 1.0
"""Without a message for so long, say so."""


@dataclass(frozen=True)
class Observation:
    """The object that answers a prompt, in one frame."""

    state: str
    """bound, reacquired, lost or none, see `streamseg.structures.message.PromptState`."""
    confidence: float
    """0..1."""
    age_ms: float
    """Of the picture."""
    box: tuple[float, float, float, float] | None = None
    """xyxy in pixels of the picture; None while no object is seen."""
    centroid: tuple[float, float] | None = None
    """(x, y) of the mask's centre of mass, in pixels."""
    bearing: tuple[float, float] | None = None
    """(right, up) of the optical axis in degrees."""


def observe(message: Message, prompt_id: str, fov_degrees: float) -> Observation:
    """What a message says about a prompt.

    Args:
        message: of the camera.
        prompt_id: whose object.
        fov_degrees: horizontal field of view of the camera, which is taken for a pinhole with square pixels.
    """
    status = message.prompt(prompt_id)
    found = message.of(prompt_id)
    # A prompt that means every object has no status of its own.
    state = status.state if status is not None else "bound" if found else "none"
    confidence = status.confidence if status is not None else found[0].score if found else 0.0
    age_ms = message_age_ms(message)
    if not found:
        return Observation(state, confidence, age_ms)
    x, y = found[0].centroid
    height, width = message.image_size
    focal_px = width / 2 / math.tan(math.radians(fov_degrees) / 2)
    right = math.degrees(math.atan2(x - width / 2, focal_px))
    up = math.degrees(math.atan2(height / 2 - y, math.hypot(focal_px, x - width / 2)))
    return Observation(state, confidence, age_ms, found[0].box, (x, y), (right, up))


def describe(seen: Observation) -> str:
    """One line."""
    words = f"{seen.state:<10} {seen.confidence:4.2f}  age {seen.age_ms:6.1f} ms"
    if seen.box is None or seen.centroid is None or seen.bearing is None:
        return words
    box = ",".join(f"{value:.0f}" for value in seen.box)
    x, y = seen.centroid
    return (
        f"{words}  box {box} px  centroid {x:.1f},{y:.1f} px  bearing {seen.bearing[0]:+.1f},{seen.bearing[1]:+.1f} deg"
    )


def watch(args: argparse.Namespace) -> None:
    """Print what is seen, at --rate and no faster, until Ctrl-C or --count."""
    sources = None if args.source is None else [args.source]
    num_printed, silent_since, told_seconds, was_seen, told_lost = 0, time.monotonic(), 0, False, -math.inf
    with Subscriber(args.endpoint, sources=sources) as subscriber:
        while args.count is None or num_printed < args.count:
            started = time.monotonic()
            message = subscriber.receive(SILENT_SECONDS)
            now = time.monotonic()
            if message is None:
                if int(now - silent_since) > told_seconds:
                    told_seconds = int(now - silent_since)
                    print(f"nothing came from {args.endpoint} for {told_seconds} s", file=sys.stderr, flush=True)
                continue
            silent_since, told_seconds = now, 0
            seen = observe(message, args.id, args.fov)
            # An object that is gone is worth one line, and another one a second, so that nobody waits in vain.
            if seen.box is not None or was_seen or now - told_lost >= 1.0:
                print(f"{message.source_id} #{message.frame_index}  {args.id} {describe(seen)}", flush=True)
                num_printed += 1
                told_lost = now
            was_seen = seen.box is not None
            # The subscriber keeps the newest message meanwhile; a slow loop never falls behind.
            time.sleep(max(started + 1 / args.rate - time.monotonic(), 0.0))


def select(args: argparse.Namespace) -> None:
    """Set the prompt that --point asks for."""
    prompt = {"id": args.id, "points": [args.point], **({} if args.source is None else {"source": args.source})}
    with ControlClient(args.control) as control:
        control.call("prompts.set", {"prompts": [prompt]})


def unselect(args: argparse.Namespace) -> None:
    """Take the prompt back, where there is still somebody to take it."""
    try:
        with ControlClient(args.control, timeout_seconds=1.0) as control:
            control.call("prompts.clear", {"ids": [args.id]})
    except StreamsegError as error:
        print(f"the prompt stays: {error}", file=sys.stderr)


def point(text: str) -> list[float]:
    """An argument such as 320,240."""
    try:
        x, y = (float(part) for part in text.split(","))
    except ValueError:
        raise argparse.ArgumentTypeError(f"a point is X,Y in pixels, got {text!r}") from None
    return [x, y]


def positive(text: str) -> float:
    """An argument that is a number above 0."""
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not 0 < value < math.inf:
        raise argparse.ArgumentTypeError(f"must be a number above 0, got {text!r}")
    return value


def field_of_view(text: str) -> float:
    """An argument that is an angle of a pinhole camera."""
    if not (degrees := positive(text)) < 180:
        raise argparse.ArgumentTypeError(f"must be less than 180 degrees, got {text!r}")
    return degrees


def main(arguments: list[str] | None = None) -> int:
    """Select, watch, and take the selection back; 2 for a mistake."""
    parser = argparse.ArgumentParser(description="Follows one object that `streamseg run` publishes.")
    parser.add_argument("endpoint", nargs="?", default="tcp://127.0.0.1:5555", help="messages (default: %(default)s)")
    parser.add_argument("--control", default="tcp://127.0.0.1:5556", help="control channel (default: %(default)s)")
    parser.add_argument("--point", type=point, metavar="X,Y", help="select what is at this pixel")
    parser.add_argument("--id", help="of the prompt to follow; with --point its name (default there: robot)")
    parser.add_argument("--source", help="only this camera")
    parser.add_argument("--fov", type=field_of_view, default=70.0, help="horizontal field of view in degrees")
    parser.add_argument("--rate", type=positive, default=30.0, help="lines per second at most (default: %(default)s)")
    parser.add_argument("--count", type=int, help="end after so many lines")
    args = parser.parse_args(arguments)
    if args.point is None and args.id is None:
        parser.error("give --point X,Y to select something, or --id to follow what is selected")
    args.id = args.id or "robot"
    try:
        if args.point is not None:
            select(args)
        try:
            watch(args)
        finally:
            if args.point is not None:
                unselect(args)
    except StreamsegError as error:
        print(f"robot_node: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        pass  # the usual way to end it
    return 0


if __name__ == "__main__":
    sys.exit(main())
