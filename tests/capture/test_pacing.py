import threading
import time

from streamseg.capture.pacing import Playback


def test_shows_each_picture_at_its_time():
    playback = Playback(threading.Event())
    started = time.monotonic()
    assert all(playback.show(index / 50) for index in range(4))
    assert time.monotonic() - started >= 3 / 50


def test_a_picture_without_a_time_is_shown_at_once():
    playback = Playback(threading.Event())
    playback.show(0.0)
    assert playback.show(None)


def test_what_is_long_over_is_left_out():
    playback = Playback(threading.Event())
    playback.show(0.0)
    threading.Event().wait(0.4)
    assert playback.show(0.04) is False
    assert playback.show(10.0 / 25 + 0.04), "the next one that is due again"


def test_stopping_ends_a_wait():
    stopped = threading.Event()
    playback = Playback(stopped)
    playback.show(0.0)
    timer = threading.Timer(0.05, stopped.set)
    timer.start()
    started = time.monotonic()
    playback.show(9.0)
    assert time.monotonic() - started < 5
    timer.join()
