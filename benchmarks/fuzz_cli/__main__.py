"""Run the fuzz and report: `scripts/bench fuzz_cli --num 2000 --json benchmarks/results/fuzz_cli.json`."""

from __future__ import annotations

import multiprocessing
from concurrent.futures import ProcessPoolExecutor
from functools import partial

from benchmarks.fuzz_cli.runner import LIMIT_SECONDS, Outcome, fuzz
from benchmarks.harness import parser, report

MAX_MEGABYTES = 3000
"""Limit of the memory that the runs of a process add to it."""
SHARE = 50
"""Number of runs in one process."""


def main() -> None:
    """Fuzz, print what was found, and exit with 1 if anything is wrong."""
    flags = parser("Fuzz the command line with mutated arguments and files.")
    flags.add_argument("--num", type=int, default=2000, help="number of runs (default %(default)s)")
    flags.add_argument("--seed", type=int, default=0, help="seed of the mutations (default %(default)s)")
    flags.add_argument("--processes", type=int, default=1, help="processes that share the runs (default %(default)s)")
    args = flags.parse_args()
    outcome = Outcome()
    shares = [range(first, min(first + SHARE, args.num)) for first in range(0, args.num, SHARE)]
    # A new process for each share bounds what a crash of a library can take with it.
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(args.processes, mp_context=context, max_tasks_per_child=1) as pool:
        for part in pool.map(partial(fuzz, seed=args.seed), shares):
            outcome.add(part)
            print(f"{outcome.num_runs} runs, {len(outcome.faults)} faults", flush=True)
            for fault in part.faults:
                print(f"  {fault[:500]}", flush=True)
    print(f"exit codes {dict(sorted(outcome.codes.items()))}, {outcome.num_stopped} interrupted")
    print(f"slowest {outcome.slowest_seconds:.1f} s, {outcome.megabytes} MB more memory")
    results = {
        "num_runs": outcome.num_runs,
        "num_faults": len(outcome.faults),
        "faults": [fault[:500] for fault in outcome.faults],
        "exit_codes": {str(code): count for code, count in sorted(outcome.codes.items())},
        "num_interrupted": outcome.num_stopped,
        "slowest_seconds": round(outcome.slowest_seconds, 2),
        "added_megabytes": outcome.megabytes,
        "bounds": {"seconds": LIMIT_SECONDS, "megabytes": MAX_MEGABYTES},
        "commands": dict(outcome.commands.most_common()),
        "changes": dict(outcome.changes.most_common()),
        "reasons": dict(outcome.reasons.most_common(60)),
    }
    report(results, args.json)
    if outcome.faults or outcome.megabytes > MAX_MEGABYTES:
        raise SystemExit(1)


if __name__ == "__main__":
    main()
