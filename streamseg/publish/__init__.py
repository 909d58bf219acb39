"""Sockets: messages out, messages in, and control. ZeroMQ lives here and nowhere else.

    publisher     Publisher: hand in a message and go on       subscriber   Subscriber: always the newest
    control       ControlServer, ControlClient                 sequence     gaps, from sequence numbers
    outlet        one publishing socket                        endpoints    what may be bound or connected
    thread        a thread that owns sockets                   picture      JPEG

Sockets belong to one thread each. What crosses threads are records behind a lock and wake-ups.
"""

from streamseg.publish.control import ControlClient, ControlServer
from streamseg.publish.publisher import Publisher
from streamseg.publish.subscriber import Subscriber, message_age_ms

__all__ = ["ControlClient", "ControlServer", "Publisher", "Subscriber", "message_age_ms"]
