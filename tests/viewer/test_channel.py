import asyncio
import threading
from collections.abc import Awaitable, Callable

from streamseg.viewer.channel import SENT_FRAMES, Channel, Slot
from streamseg.viewer.frames import NumberedFrame
from tests.support.viewers import make_result, soon


class FakeWatcher:
    """Accepts as many frames as it has room for."""

    def __init__(self, room: int) -> None:
        self.room = room
        self.seqs: list[int] = []
        self.bodies: list[bytes] = []
        self._arrived = asyncio.Event()

    def wants(self, source_id: str, seq: int) -> bool:
        assert source_id == "cam0"
        return self.room > 0 and (not self.seqs or seq > self.seqs[-1])

    def end(self) -> None:
        """No more frames follow."""

    def offer(self, source_id: str, seq: int, body: bytes) -> None:
        assert self.wants(source_id, seq)
        self.room -= 1
        self.seqs.append(seq)
        self.bodies.append(body)
        self._arrived.set()

    async def has(self, num_frames: int) -> None:
        while len(self.seqs) < num_frames:
            self._arrived.clear()
            await soon(self._arrived.wait())


class Encoder:
    """Encodes a frame as its number, in another thread; may be held up."""

    def __init__(self) -> None:
        self.seqs: list[int] = []
        self.threads: set[str] = set()
        self.go_on = threading.Event()
        self.go_on.set()
        self.started = threading.Semaphore(0)

    def __call__(self, frame: NumberedFrame) -> bytes:
        self.started.release()
        assert self.go_on.wait(20)
        self.seqs.append(frame.seq)
        self.threads.add(threading.current_thread().name)
        return str(frame.seq).encode()


def with_channel(test: Callable[[Channel, Slot, Encoder], Awaitable[None]]) -> None:
    """Run a test with a channel that is running."""

    async def main() -> None:
        slot, encoder = Slot("cam0"), Encoder()
        channel = Channel(slot, encoder)
        running = asyncio.create_task(channel.run())
        try:
            await test(channel, slot, encoder)
        finally:
            running.cancel()
            await asyncio.gather(running, return_exceptions=True)

    asyncio.run(main())


def put(channel: Channel, slot: Slot, index: int) -> None:
    """Put a frame, as the viewer does in the run's thread."""
    slot.put(make_result(index))
    if channel.is_wanted:
        channel.wake()


async def settle() -> None:
    """Run everything that is ready."""
    for _ in range(10):
        await asyncio.sleep(0)


def test_nothing_is_encoded_without_watchers():
    async def test(channel: Channel, slot: Slot, encoder: Encoder) -> None:
        for index in range(5):
            put(channel, slot, index)
            await settle()
        assert encoder.seqs == []
        watcher = FakeWatcher(1)
        channel.join(watcher)
        await watcher.has(1)
        assert watcher.seqs == encoder.seqs == [4], "a new watcher is offered the newest frame at once"

    with_channel(test)


def test_frame_is_encoded_once_for_all_watchers():
    async def test(channel: Channel, slot: Slot, encoder: Encoder) -> None:
        put(channel, slot, 0)
        watchers = [FakeWatcher(3) for _ in range(4)]
        for watcher in watchers:
            channel.join(watcher)
        for num_frames in (1, 2, 3):
            for watcher in watchers:
                await watcher.has(num_frames)
            put(channel, slot, num_frames)
        assert encoder.seqs == [0, 1, 2]
        assert threading.current_thread().name not in encoder.threads
        assert all(watcher.seqs == [0, 1, 2] for watcher in watchers)
        assert len({id(watcher.bodies[0]) for watcher in watchers}) == 1, "the same bytes, not copies"

    with_channel(test)


def test_watcher_without_room_costs_nothing_and_delays_no_other():
    async def test(channel: Channel, slot: Slot, encoder: Encoder) -> None:
        slow, fast = FakeWatcher(2), FakeWatcher(6)
        put(channel, slot, 0)
        channel.join(slow)
        await slow.has(1)
        put(channel, slot, 1)
        await slow.has(2)
        assert encoder.seqs == [0, 1]
        for index in (2, 3):
            put(channel, slot, index)
            await settle()
        assert encoder.seqs == [0, 1]
        assert not channel.is_wanted
        channel.join(fast)
        await fast.has(1)
        assert fast.seqs == [3]
        slow.room = 1
        channel.wake()
        await slow.has(3)
        assert slow.seqs == [0, 1, 3], "the newest frame, not the missed ones"
        assert encoder.seqs == [0, 1, 3], "already encoded"

    with_channel(test)


def test_newest_frame_after_encoding_is_encoded_next():
    async def test(channel: Channel, slot: Slot, encoder: Encoder) -> None:
        encoder.go_on.clear()
        watcher = FakeWatcher(5)
        channel.join(watcher)
        put(channel, slot, 0)
        channel.wake()
        await asyncio.to_thread(encoder.started.acquire)
        for index in (1, 2, 3):
            put(channel, slot, index)
        encoder.go_on.set()
        await watcher.has(2)
        assert watcher.seqs == [0, 3]

    with_channel(test)


def test_removed_watcher_is_offered_nothing():
    async def test(channel: Channel, slot: Slot, encoder: Encoder) -> None:
        encoder.go_on.clear()
        gone, stays = FakeWatcher(5), FakeWatcher(5)
        put(channel, slot, 0)
        for watcher in (gone, stays):
            channel.join(watcher)
        await asyncio.to_thread(encoder.started.acquire)
        channel.leave(gone)
        channel.leave(gone)
        encoder.go_on.set()
        await stays.has(1)
        assert gone.seqs == []

    with_channel(test)


def test_snapshots_include_frames_that_browsers_may_display():
    slot = Slot("cam0")
    assert slot.snapshot(None) is None
    for index in range(10):
        slot.put(make_result(index))
        if index < 9:
            assert slot.newest is not None
            slot.keep(slot.newest)

    def found(index: int | None) -> int | None:
        result = slot.snapshot(index)
        return None if result is None else result.frame.index

    assert found(None) == 9, "the newest frame, sent or not"
    assert found(8 - SENT_FRAMES) is None
    assert found(10) is None
    oldest = 9 - SENT_FRAMES
    assert found(oldest) == oldest
    for index in range(10, 20):
        slot.put(make_result(index))
        assert slot.newest is not None
        slot.keep(slot.newest)
    assert found(oldest) == oldest, "the JSON of an image remains available for a while"
