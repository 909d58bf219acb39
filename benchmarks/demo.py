"""Frame rate and stages of `streamseg demo` while a client watches its page: rendering, network, page and recording.

python -m benchmarks.demo [--against FOLDER] [--clients 0 1] [--seconds 12] [--json FILE]

Each turn is a demo in a process of its own; turns alternate, so that ratios hold on a busy machine. The clients receive
and acknowledge every frame as a browser does, but do not draw it. `--against FOLDER` runs each turn with another
checkout, too, such as a git worktree of an earlier commit.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from benchmarks.harness import parser, report
from benchmarks.viewer import Clients


def main() -> int:
    arguments = parser(__doc__)
    arguments.add_argument("--clients", type=int, nargs="+", default=(1,), help="numbers of clients of the page (1)")
    arguments.add_argument("--seconds", type=float, default=12.0, help="duration of each demo (12)")
    arguments.add_argument("--rounds", type=int, default=1, help="turns of each case (1)")
    arguments.add_argument("--against", type=Path, default=None, metavar="FOLDER", help="another checkout")
    arguments.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", help="settings of the demo")
    args = arguments.parse_args()
    trees = {"now": Path(__file__).parents[1], **({"before": args.against} if args.against is not None else {})}
    turns = []
    for _ in range(args.rounds):
        for num_clients in args.clients:
            for tree, folder in trees.items():
                turn = {"tree": tree, "clients": num_clients, **watched(folder, num_clients, args.seconds, args.set)}
                turns.append(turn)
                print(f"{tree:>6}, {num_clients} clients: {turn['fps']} fps, age p50 {turn['age_p50_ms']} ms", end="")
                print(
                    f" p95 {turn['age_p95_ms']} ms, {turn['received']} frames at the page; {turn['stages']}", flush=True
                )
    report({"benchmark": "demo", "seconds": args.seconds, "turns": turns}, args.json)
    return 0


def watched(folder: Path, num_clients: int, seconds: float, settings: list[str]) -> dict[str, Any]:
    """Run the demo of a checkout while clients watch its page, and return its own figures."""
    words = [word for setting in settings for word in ("--set", setting)]
    environment = {**os.environ, "PYTHONPATH": str(folder), "PYTHONSAFEPATH": "1"}
    with tempfile.TemporaryDirectory() as out:
        command = [sys.executable, "-m", "streamseg.cli.main", "demo", "--out", out, "--seconds", str(seconds), *words]
        process = subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True, cwd=out)
        assert process.stdout is not None
        clients, lines = None, []
        for line in process.stdout:
            lines.append(line)
            page = re.match(r"page at (\S+)", line)
            if page is not None and num_clients:
                clients = Clients(page[1], num_clients)
                clients.start()
        if process.wait():
            raise SystemExit(f"the demo of {folder} failed")
        if clients is not None:
            clients.join()
    text = "".join(lines)
    totals = re.search(r"([\d.]+) fps, age p50 (\d+) p95 (\d+)", text)
    stages = re.search(r"stages, p50 ms: (.*)", text)
    assert totals is not None
    assert stages is not None
    return {
        "fps": float(totals[1]),
        "age_p50_ms": int(totals[2]),
        "age_p95_ms": int(totals[3]),
        "received": 0 if clients is None else len(clients.ages_ms) // num_clients,
        "stages": stages[1],
    }


if __name__ == "__main__":
    sys.exit(main())
