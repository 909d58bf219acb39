"""`streamseg subscribe`: print published messages, as text or as JSON."""

from __future__ import annotations

import argparse
import math
import time
from collections import deque
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Final

from streamseg.cli.logs import print_error, print_note
from streamseg.errors import ConfigError

if TYPE_CHECKING:
    from streamseg.publish import ClientKeys, Subscriber
    from streamseg.structures.message import Message, PromptStatus

__all__ = ["add_parser", "run"]

DEFAULT_ENDPOINT: Final = "tcp://127.0.0.1:5555"
"""Default endpoint of `streamseg run`."""
RATE_WINDOW: Final = 30
"""Number of intervals between messages that the frame rate is averaged over."""
HINT_SECONDS: Final = 2.0
"""Time without a publisher after which the endpoint waited for is printed."""
MAX_SHOWN: Final = 6
"""Maximum number of prompts in a line of text."""


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add `subscribe` to the command line."""
    parser = subparsers.add_parser(
        "subscribe",
        help="print published messages",
        description="Print the newest message of each source as it arrives: one line of text, or JSON."
        " Exit code 1 if no message arrived within --timeout.",
    )
    parser.add_argument(
        "endpoint",
        nargs="?",
        default=DEFAULT_ENDPOINT,
        metavar="ENDPOINT",
        help=f"endpoint of the publisher, tcp://HOST:PORT or ipc://PATH (default: {DEFAULT_ENDPOINT})",
    )
    parser.add_argument("--json", action="store_true", help="print one JSON object per line")
    parser.add_argument("--masks", action="store_true", help="with --json: include each object's mask as COCO RLE")
    parser.add_argument(
        "--source", action="append", default=[], metavar="ID", help="print only this source; repeatable"
    )
    parser.add_argument("--count", type=_positive_integer, metavar="N", help="exit after N messages")
    parser.add_argument(
        "--timeout", type=_positive_seconds, metavar="S", help="exit when no message arrives for S seconds"
    )
    parser.add_argument(
        "--key", metavar="FILE", help="key pair of this subscriber, NAME.key_secret (streamseg keys new)"
    )
    parser.add_argument(
        "--server-key", metavar="KEY", help="with --key: public key of the publisher, or its file NAME.key"
    )
    parser.set_defaults(command=run, is_service=True)


def run(args: argparse.Namespace) -> int:
    """Print messages until --count, --timeout or Ctrl-C.

    Returns:
        0, or 1 if no message arrived in time.

    Raises:
        PublishError: the endpoint is invalid, or a key cannot be read.
        WireError: a source id is invalid.
    """
    from streamseg.publish import Subscriber

    sources, keys = args.source or None, _keys(args)
    with Subscriber(args.endpoint, sources=sources, timeout_seconds=args.timeout, keys=keys) as subscriber:
        if args.timeout is None and not subscriber.wait_connected(HINT_SECONDS):
            refusal = f"{args.endpoint} refused the connection: {subscriber.refusal}; trying again"
            print_note(f"waiting for {args.endpoint} …" if subscriber.refusal is None else refusal, args)
        arrivals: dict[str, deque[float]] = {}
        num_messages = 0
        for message in subscriber:
            times = arrivals.setdefault(message.source_id, deque(maxlen=RATE_WINDOW + 1))
            times.append(time.monotonic())
            gaps = subscriber.gaps[message.source_id]
            line = _as_json(message, gaps, with_masks=args.masks) if args.json else _as_text(message, gaps, times)
            print(line, flush=True)
            num_messages += 1
            if num_messages == args.count:
                break
        if num_messages == 0:
            print_error(_no_message_reason(args, subscriber), getattr(args, "log_format", "text"))
            return 1
    return 0


def _keys(args: argparse.Namespace) -> ClientKeys | None:
    """Return the keys that the arguments name; None without any."""
    from streamseg.publish import ClientKeys

    if args.key is None and args.server_key is None:
        return None
    if args.key is None or args.server_key is None:
        raise ConfigError("--key and --server-key belong together; give both, or neither")
    return ClientKeys.load(args.key, args.server_key)


def _as_text(message: Message, gaps: int, times: deque[float]) -> str:
    from streamseg.publish import message_age_ms

    # A rate needs two messages.
    fps = f"{(len(times) - 1) / (times[-1] - times[0]):6.1f}" if len(times) > 1 else "     –"
    noun = "object " if len(message.objects) == 1 else "objects"
    return (
        f"{message.source_id:<16} #{message.seq:<7} {len(message.objects):3d} {noun}"
        f"  age {message_age_ms(message):8.1f} ms  {fps} fps  {gaps} lost{_prompts_as_text(message.prompts)}"
    )


def _prompts_as_text(prompts: Sequence[PromptStatus]) -> str:
    """Return the state of the first prompts, to append to a line; "" without prompts."""
    words = []
    for status in prompts[:MAX_SHOWN]:
        # Ids come from remote clients and may contain control characters for terminals.
        name = "".join(character if character.isprintable() else "?" for character in status.prompt_id)
        track = f" #{status.track_id}" if status.track_id >= 0 else ""
        confidence = f" {status.confidence:.0%}" if status.state in ("bound", "reacquired") else ""
        quality = f" mask {status.mask_quality:.0%}" if status.mask_quality is not None else ""
        words.append(f"{name}: {status.state}{track}{confidence}{quality}")
    if len(prompts) > MAX_SHOWN:
        words.append(f"{len(prompts) - MAX_SHOWN} more")
    return f"  {', '.join(words)}" if words else ""


def _as_json(message: Message, gaps: int, *, with_masks: bool) -> str:
    """Return JSON with the keys of the wire header; `age_ms` is the age on arrival, `lost` the gaps so far."""
    from streamseg.publish import message_age_ms
    from streamseg.rle import crop_to_coco
    from streamseg.wire.json_fields import dump_json
    from streamseg.wire.prompt_statuses import prompt_statuses_to_json

    seconds, nanoseconds = divmod(message.captured_ns, 1_000_000_000)
    objects: list[dict[str, Any]] = []
    for detected in message.objects:
        values: dict[str, Any] = {
            "track_id": detected.track_id,
            "prompt_ids": detected.prompt_ids,
            "box": detected.box,
            "score": detected.score,
            "area": detected.area,
            "label": detected.label,
        }
        if with_masks:
            values["segmentation"] = crop_to_coco(detected.mask, message.mask_size)
        objects.append(values)
    return dump_json(
        {
            "source": message.source_id,
            "epoch": message.epoch,
            "seq": message.seq,
            "index": message.frame_index,
            "stamp": {"sec": seconds, "nanosec": nanoseconds},
            "clock": message.clock,
            "age_ms": round(message_age_ms(message), 3),
            "pts_seconds": message.pts_seconds,
            "image": {"w": message.image_size[1], "h": message.image_size[0]},
            "objects": objects,
            "prompts": prompt_statuses_to_json(message.prompts),
            "drops": message.drops,
            "lost": gaps,
        },
        "message",
    ).decode("utf-8")


def _no_message_reason(args: argparse.Namespace, subscriber: Subscriber) -> str:
    """Explain why no message arrived, as far as is known."""
    words = f"no message from {args.endpoint} within {args.timeout:g} s"
    status = subscriber.status
    if status is None:
        if subscriber.refusal is not None:
            return f"{words}; the publisher refused the connection: {subscriber.refusal}"
        return f"{words}; no publisher is connected"
    names = ", ".join(sorted(status.sources)) or "no source yet"
    if subscriber.malformed:
        return f"{words} could be read; {subscriber.malformed} were malformed"
    return f"{words}; the publisher has {names}"


def _positive_integer(text: str) -> int:
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"must be an integer of at least 1, got {text!r}")
    return int(text)


def _positive_seconds(text: str) -> float:
    try:
        seconds = float(text)
    except ValueError:
        seconds = math.nan
    if not 0 < seconds < math.inf:
        raise argparse.ArgumentTypeError(f"must be a number of seconds above 0, got {text!r}")
    return seconds
