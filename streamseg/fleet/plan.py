"""What each worker must hold now, on the way to a placement. Pure."""

from __future__ import annotations

from collections.abc import Collection, Mapping

__all__ = ["plan"]


def plan(placement: Mapping[str, str], held: Mapping[str, Collection[str]]) -> dict[str, tuple[str, ...]]:
    """Return the cameras that each worker must hold from now on.

    A camera that moves leaves its present worker first; its new one gets it once the other has reported that it is
    gone, because many cameras admit few connections, and two publishers of one camera would confuse its subscribers.

    Args:
        placement: worker by camera.
        held: cameras that the workers report, of those that are alive.

    Returns:
        Cameras by worker, for each worker of `held`, in the order of the placement.
    """
    holders: dict[str, set[str]] = {}
    for worker, cameras in held.items():
        for camera in cameras:
            holders.setdefault(camera, set()).add(worker)
    now: dict[str, list[str]] = {worker: [] for worker in held}
    for camera, worker in placement.items():
        if worker in now and not holders.get(camera, set()) - {worker}:
            now[worker].append(camera)
    return {worker: tuple(cameras) for worker, cameras in now.items()}
