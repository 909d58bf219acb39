import io

import pytest

from streamseg.cli.progress import CountingBar, ProgressBar


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


class Clock:
    def __init__(self) -> None:
        self.seconds = 0.0

    def __call__(self) -> float:
        return self.seconds


@pytest.mark.parametrize(
    ("total", "expected"),
    [
        pytest.param(100, "50/100 frames  10.0/s  0:05 left", id="known total"),
        pytest.param(None, "50 frames  10.0/s", id="unknown total"),
    ],
)
def test_a_line_tells_count_rate_and_time_left(total, expected):
    clock, stream = Clock(), io.StringIO()
    bar = ProgressBar("frames", total, stream=stream, clock=clock)
    bar.update(1)
    clock.seconds = 5.0
    bar.update(50)
    assert expected in stream.getvalue().splitlines()[-1]


def test_a_terminal_is_redrawn_and_a_file_gets_lines_now_and_then():
    clock, terminal, file = Clock(), Terminal(), io.StringIO()
    bars = [ProgressBar("frames", 1000, stream=stream, clock=clock) for stream in (terminal, file)]
    for done in range(1, 101):
        clock.seconds = done * 0.02
        for bar in bars:
            bar.update(done)
    for bar in bars:
        bar.close()
    assert 15 <= terminal.getvalue().count("\r") <= 25
    assert terminal.getvalue().endswith("\n")
    assert file.getvalue().count("\n") == 1


def test_the_last_update_is_always_shown():
    clock, stream = Clock(), io.StringIO()
    bar = ProgressBar("pictures", 3, stream=stream, clock=clock)
    for done in (1, 2, 3):
        bar.update(done, f"{done} objects")
    assert "3/3 pictures" in stream.getvalue()
    assert "3 objects" in stream.getvalue()


def test_a_resumed_run_is_not_faster_than_it_is():
    clock, stream = Clock(), io.StringIO()
    bar = ProgressBar("steps", 1000, stream=stream, clock=clock)
    bar.update(901)
    clock.seconds = 10.0
    bar.update(1000)
    assert "10.0/s" in stream.getvalue().splitlines()[-1]


def test_a_bar_that_learns_the_total_on_the_way():
    stream = io.StringIO()
    bar = CountingBar("pictures", stream=stream)
    bar.close()
    assert stream.getvalue() == ""
    bar(1, 3)
    bar(3, 3)
    bar.close()
    lines = stream.getvalue().splitlines()
    assert "1/3 pictures" in lines[0]
    assert lines[-1].startswith("[############################] 3/3 pictures")


def test_the_first_unit_took_its_time_though_nobody_knew_the_total():
    clock, stream = Clock(), io.StringIO()
    bar = CountingBar("pictures", stream=stream, clock=clock)
    clock.seconds = 2.0
    bar(1, 6)
    assert "0.5/s  0:10 left" in stream.getvalue()
