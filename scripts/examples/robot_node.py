#!/usr/bin/env python3
"""Robot node: print box, centroid and bearing of a selected object, always from the newest frame.

    python scripts/examples/robot_node.py --point 320,240           select the object at a pixel and follow it
    python scripts/examples/robot_node.py --id click-1              follow an object that is already selected

Requires streamseg with only NumPy and pyzmq. Call `observe` from your own node; `main` prints its result.
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

SILENCE_SECONDS = 1.0
"""Time without a message after which a warning is printed."""


@dataclass(frozen=True)
class Observation:
    """The object that matches a prompt, in one frame."""

    state: str
    """bound, reacquired, lost or none; see `streamseg.structures.message.PromptState`."""
    confidence: float
    """Confidence, 0..1."""
    age_ms: float
    """Age of the frame."""
    box: tuple[float, float, float, float] | None = None
    """Box xyxy in pixels of the image; None while no object is visible."""
    centroid: tuple[float, float] | None = None
    """Centroid (x, y) of the mask in pixels of the image."""
    bearing: tuple[float, float] | None = None
    """Angles (right, up) from the optical axis in degrees."""


def observe(message: Message, prompt_id: str, fov_degrees: float) -> Observation:
    """Return the observation of a prompt's object in a message.

    Args:
        message: message of one frame.
        prompt_id: id of the prompt.
        fov_degrees: horizontal field of view of the camera, modelled as a pinhole with square pixels.
    """
    status = message.prompt(prompt_id)
    found = message.of(prompt_id)
    # A prompt that matches every object has no status of its own.
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
    """Return the observation as one line."""
    text = f"{seen.state:<10} {seen.confidence:4.2f}  age {seen.age_ms:6.1f} ms"
    if seen.box is None or seen.centroid is None or seen.bearing is None:
        return text
    box = ",".join(f"{value:.0f}" for value in seen.box)
    x, y = seen.centroid
    return (
        f"{text}  box {box} px  centroid {x:.1f},{y:.1f} px  bearing {seen.bearing[0]:+.1f},{seen.bearing[1]:+.1f} deg"
    )


def watch(args: argparse.Namespace) -> None:
    """Print observations, at most --rate per second, until Ctrl-C or --count."""
    sources = None if args.source is None else [args.source]
    num_printed, silent_since, warned_seconds, was_visible, printed_at = 0, time.monotonic(), 0, False, -math.inf
    with Subscriber(args.endpoint, sources=sources) as subscriber:
        while args.count is None or num_printed < args.count:
            started = time.monotonic()
            message = subscriber.receive(SILENCE_SECONDS)
            now = time.monotonic()
            if message is None:
                if int(now - silent_since) > warned_seconds:
                    warned_seconds = int(now - silent_since)
                    print(f"no message from {args.endpoint} for {warned_seconds} s", file=sys.stderr, flush=True)
                continue
            silent_since, warned_seconds = now, 0
            seen = observe(message, args.id, args.fov)
            # Print one line when the object disappears, then one a second while it is not visible.
            if seen.box is not None or was_visible or now - printed_at >= 1.0:
                print(f"{message.source_id} #{message.frame_index}  {args.id} {describe(seen)}", flush=True)
                num_printed += 1
                printed_at = now
            was_visible = seen.box is not None
            # The subscriber keeps only the newest message, so a slow loop never falls behind.
            time.sleep(max(started + 1 / args.rate - time.monotonic(), 0.0))


def select(args: argparse.Namespace) -> None:
    """Set the prompt given by --point."""
    prompt = {"id": args.id, "points": [args.point], **({} if args.source is None else {"source": args.source})}
    with ControlClient(args.control) as control:
        control.call("prompts.set", {"prompts": [prompt]})


def unselect(args: argparse.Namespace) -> None:
    """Clear the prompt; print a warning if the run is no longer reachable."""
    try:
        with ControlClient(args.control, timeout_seconds=1.0) as control:
            control.call("prompts.clear", {"ids": [args.id]})
    except StreamsegError as error:
        print(f"could not clear the prompt: {error}", file=sys.stderr)


def point(text: str) -> list[float]:
    """Parse an argument such as 320,240."""
    try:
        x, y = (float(part) for part in text.split(","))
    except ValueError:
        raise argparse.ArgumentTypeError(f"a point must be X,Y in pixels, got {text!r}") from None
    return [x, y]


def positive(text: str) -> float:
    """Parse a number above 0."""
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not 0 < value < math.inf:
        raise argparse.ArgumentTypeError(f"must be a number above 0, got {text!r}")
    return value


def field_of_view(text: str) -> float:
    """Parse a field of view of a pinhole camera, in degrees."""
    if not (degrees := positive(text)) < 180:
        raise argparse.ArgumentTypeError(f"must be less than 180 degrees, got {text!r}")
    return degrees


def main(arguments: list[str] | None = None) -> int:
    """Select, watch and clear the selection; return 2 on an error."""
    parser = argparse.ArgumentParser(description="Follow one object published by `streamseg run`.")
    parser.add_argument(
        "endpoint", nargs="?", default="tcp://127.0.0.1:5555", help="message endpoint (default: %(default)s)"
    )
    parser.add_argument("--control", default="tcp://127.0.0.1:5556", help="control endpoint (default: %(default)s)")
    parser.add_argument("--point", type=point, metavar="X,Y", help="select the object at this pixel")
    parser.add_argument("--id", help="id of the prompt to follow, or of the new prompt with --point (default: robot)")
    parser.add_argument("--source", help="id of the camera; default: all")
    parser.add_argument("--fov", type=field_of_view, default=70.0, help="horizontal field of view in degrees")
    parser.add_argument("--rate", type=positive, default=30.0, help="maximum lines per second (default: %(default)s)")
    parser.add_argument("--count", type=int, help="stop after this many lines")
    args = parser.parse_args(arguments)
    if args.point is None and args.id is None:
        parser.error("give --point X,Y to select an object, or --id to follow a selected one")
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
        pass  # the usual way to stop
    return 0


if __name__ == "__main__":
    sys.exit(main())
