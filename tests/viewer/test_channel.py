import asyncio
import threading
from collections.abc import Awaitable, Callable

from streamseg.viewer.channel import MADE_FRAMES, Channel, Slot
from streamseg.viewer.frames import Numbered
from tests.support.viewers import make_result, soon


class FakeWatcher:
    """Takes as many frames as it is given room for."""

    def __init__(self, room: int) -> None:
        self.room = room
        self.seqs: list[int] = []
        self.bodies: list[bytes] = []
        self._came = asyncio.Event()

    def wants(self, source_id: str, seq: int) -> bool:
        assert source_id == "cam0"
        return self.room > 0 and (not self.seqs or seq > self.seqs[-1])

    def offer(self, source_id: str, seq: int, body: bytes) -> None:
        assert self.wants(source_id, seq)
        self.room -= 1
        self.seqs.append(seq)
        self.bodies.append(body)
        self._came.set()

    async def has(self, num_frames: int) -> None:
        while len(self.seqs) < num_frames:
            self._came.clear()
            await soon(self._came.wait())


class Maker:
    """Makes a frame's number, in another thread; may be held up."""

    def __init__(self) -> None:
        self.made: list[int] = []
        self.threads: set[str] = set()
        self.go_on = threading.Event()
        self.go_on.set()
        self.started = threading.Semaphore(0)

    def __call__(self, numbered: Numbered) -> bytes:
        self.started.release()
        assert self.go_on.wait(20)
        self.made.append(numbered.seq)
        self.threads.add(threading.current_thread().name)
        return str(numbered.seq).encode()


def with_channel(test: Callable[[Channel, Slot, Maker], Awaitable[None]]) -> None:
    """Run a test against a channel whose loop runs."""

    async def main() -> None:
        slot, maker = Slot("cam0"), Maker()
        channel = Channel(slot, maker)
        running = asyncio.create_task(channel.run())
        try:
            await test(channel, slot, maker)
        finally:
            running.cancel()
            await asyncio.gather(running, return_exceptions=True)

    asyncio.run(main())


def put(channel: Channel, slot: Slot, index: int) -> None:
    """As the viewer does from the run's thread."""
    slot.put(make_result(index))
    if channel.is_wanted:
        channel.wake()


async def settle() -> None:
    """Let everything that is ready run."""
    for _ in range(10):
        await asyncio.sleep(0)


def test_nothing_is_made_while_nobody_watches():
    async def test(channel: Channel, slot: Slot, maker: Maker) -> None:
        for index in range(5):
            put(channel, slot, index)
            await settle()
        assert maker.made == []
        watcher = FakeWatcher(1)
        channel.join(watcher)
        await watcher.has(1)
        assert watcher.seqs == maker.made == [4], "whoever comes is shown the newest at once"

    with_channel(test)


def test_a_frame_is_made_once_for_all():
    async def test(channel: Channel, slot: Slot, maker: Maker) -> None:
        put(channel, slot, 0)
        watchers = [FakeWatcher(3) for _ in range(4)]
        for watcher in watchers:
            channel.join(watcher)
        for num_frames in (1, 2, 3):
            for watcher in watchers:
                await watcher.has(num_frames)
            put(channel, slot, num_frames)
        assert maker.made == [0, 1, 2]
        assert threading.current_thread().name not in maker.threads
        assert all(watcher.seqs == [0, 1, 2] for watcher in watchers)
        assert len({id(watcher.bodies[0]) for watcher in watchers}) == 1, "the same bytes, not copies"

    with_channel(test)


def test_whoever_has_no_room_costs_nothing_and_holds_nobody_up():
    async def test(channel: Channel, slot: Slot, maker: Maker) -> None:
        slow, fast = FakeWatcher(2), FakeWatcher(6)
        put(channel, slot, 0)
        channel.join(slow)
        await slow.has(1)
        put(channel, slot, 1)
        await slow.has(2)
        assert maker.made == [0, 1]
        for index in (2, 3):
            put(channel, slot, index)
            await settle()
        assert maker.made == [0, 1]
        assert not channel.is_wanted
        channel.join(fast)
        await fast.has(1)
        assert fast.seqs == [3]
        slow.room = 1
        channel.wake()
        await slow.has(3)
        assert slow.seqs == [0, 1, 3], "the newest, not what it missed"
        assert maker.made == [0, 1, 3], "which was there already"

    with_channel(test)


def test_a_frame_that_comes_while_one_is_made_is_made_next():
    async def test(channel: Channel, slot: Slot, maker: Maker) -> None:
        maker.go_on.clear()
        watcher = FakeWatcher(5)
        channel.join(watcher)
        put(channel, slot, 0)
        channel.wake()
        await asyncio.to_thread(maker.started.acquire)
        for index in (1, 2, 3):
            put(channel, slot, index)
        maker.go_on.set()
        await watcher.has(2)
        assert watcher.seqs == [0, 3]

    with_channel(test)


def test_whoever_left_is_offered_nothing():
    async def test(channel: Channel, slot: Slot, maker: Maker) -> None:
        maker.go_on.clear()
        gone, stays = FakeWatcher(5), FakeWatcher(5)
        put(channel, slot, 0)
        for watcher in (gone, stays):
            channel.join(watcher)
        await asyncio.to_thread(maker.started.acquire)
        channel.leave(gone)
        channel.leave(gone)
        maker.go_on.set()
        await stays.has(1)
        assert gone.seqs == []

    with_channel(test)


def test_snapshots_are_of_frames_that_may_be_on_a_screen():
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

    assert found(None) == 9, "the newest, whether it was sent or not"
    assert found(8 - MADE_FRAMES) is None
    assert found(10) is None
    oldest = 9 - MADE_FRAMES
    assert found(oldest) == oldest
    for index in range(10, 20):
        slot.put(make_result(index))
        assert slot.newest is not None
        slot.keep(slot.newest)
    assert found(oldest) == oldest, "the JSON that belongs to a picture is found for a while"
