"""A batch on a Ray cluster, by Ray Data (extra `fleet`)."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import ray.data
import ray.exceptions

from streamseg.errors import DataError, StreamsegError

__all__ = ["process_all"]

MAX_BLOCKS = 10_000
"""Maximum number of tasks; with more inputs, a task has several, which are lost together with a machine."""

Create = Callable[..., Any]


def process_all(
    names: Sequence[str], num_workers: int, create: Create, arguments: Sequence[Any], *, cpus: float, gpus: float
) -> Iterator[tuple[str, dict[str, Any]]]:
    """Treat all items on the machines of the cluster that this process has joined, and yield each with its result.

    The inputs of a machine that is lost are treated again by others.

    Args:
        names: the items.
        num_workers: number of actors.
        create: returns an object with the method `process(name)`; a function of a module.
        arguments: its arguments.
        cpus: CPU cores per actor.
        gpus: GPUs per actor.

    Raises:
        StreamsegError: a worker cannot be created, or an output cannot be written.
        DataError: Ray gave up.
    """
    ray.data.DataContext.get_current().enable_progress_bars = False
    rows = ray.data.from_items([{"name": name} for name in names], override_num_blocks=min(len(names), MAX_BLOCKS))
    worker: Any = _Worker  # Ray's types do not include classes whose objects are called
    results = rows.map(
        worker,
        fn_constructor_args=(create, list(arguments)),
        compute=ray.data.ActorPoolStrategy(size=num_workers),
        num_cpus=cpus,
        num_gpus=gpus,
    )
    try:
        for row in results.iter_rows():
            result = json.loads(row["result"])
            if "fatal" in result:
                raise StreamsegError(result["fatal"])
            yield row["name"], result
    except ray.exceptions.RayError as error:
        raise DataError(f"Ray has ended the batch: {' '.join(str(error).split())[:300]}") from error


class _Worker:
    """One object per actor. A result is a text, so that all rows have the same columns."""

    def __init__(self, create: Create, arguments: Sequence[Any]) -> None:
        self._subject: Any = None
        self._failure: str | None = None
        try:
            self._subject = create(*arguments)
        except StreamsegError as error:
            self._failure = str(error)

    def __call__(self, row: dict[str, Any]) -> dict[str, Any]:
        name = str(row["name"])
        try:
            result = {"fatal": self._failure} if self._failure is not None else self._subject.process(name)
        except StreamsegError as error:
            result = {"fatal": str(error)}
        return {"name": name, "result": json.dumps(result)}
