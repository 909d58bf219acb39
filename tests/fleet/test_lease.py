"""How long a worker may hold its cameras without hearing from the fleet."""

from __future__ import annotations

import threading
import time

from streamseg.fleet.lease import LEASE_SHARE, Lease

LONG, SHORT = 1000.0, 0.3


def test_a_heartbeat_must_name_a_report_of_this_lease(no_thread_left: None):
    with Lease(LONG, lambda: None) as lease:
        with lease.heartbeat(None) as is_accepted:
            assert not is_accepted
        with lease.heartbeat((lease.incarnation, 1)) as is_accepted:
            assert not is_accepted, "there was none"
        number = lease.next_number()
        for incarnation, is_expected in ((lease.incarnation, True), ("other.0", False)):
            with lease.heartbeat([incarnation, number]) as is_accepted:
                assert is_accepted is is_expected


def test_it_ends_without_heartbeats_and_begins_anew(no_thread_left: None):
    ended = threading.Event()
    with Lease(SHORT, ended.set) as lease:
        first, number = lease.incarnation, lease.next_number()
        assert not ended.wait(2 * SHORT), "it begins with the first heartbeat that is accepted"
        number = lease.next_number()
        sent_at = time.monotonic()
        with lease.heartbeat((first, number)):
            pass
        assert ended.wait(600)
        assert time.monotonic() - sent_at >= 0.99 * LEASE_SHARE * SHORT
        with lease.heartbeat((first, number)) as is_accepted:
            assert not is_accepted, "delayed: its cameras may be elsewhere"
        assert lease.incarnation.partition(".")[0] == first.partition(".")[0]
        assert lease.incarnation != first


def test_it_counts_from_the_report_that_arrived_not_from_the_heartbeat(no_thread_left: None):
    ended = threading.Event()
    with Lease(SHORT, ended.set) as lease:
        number = lease.next_number()
        assert not ended.wait(SHORT)
        with lease.heartbeat((lease.incarnation, number)) as is_accepted:
            assert is_accepted
            assert not ended.is_set(), "not during a heartbeat"
        assert ended.wait(600)


def test_heartbeats_keep_it(no_thread_left: None):
    ended = threading.Event()
    with Lease(LONG, ended.set) as lease:
        for _ in range(40):
            number = lease.next_number()
            with lease.heartbeat((lease.incarnation, number)) as is_accepted:
                assert is_accepted
        old = (lease.incarnation, 1)
        with lease.heartbeat(old) as is_accepted:
            assert not is_accepted, "too long ago"
    assert not ended.is_set()
