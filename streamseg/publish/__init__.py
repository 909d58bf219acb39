"""ZeroMQ sockets: publish messages, receive messages, control. The only package that imports `zmq`.

publisher    Publisher: publish without waiting for subscribers
outbox       the newest unsent message of each source
inbox        the newest unread message of each source
subscriber   Subscriber: always the newest message
proxy        Proxy: several publishers behind one address
sequences    gaps from sequence numbers
control      ControlServer, ControlClient
prompt_operations  the control channel's operations on prompts
socket       PublishSocket: one publishing socket and its subscriptions
keys         CURVE key files: who may connect
authentication   encrypted sockets, and the authenticator behind them
handshakes   why a server refused a client, and the next attempt
jpeg         JPEG images for messages and the page
endpoints    which endpoints may be bound or connected
thread       a thread that owns sockets

Each socket belongs to one thread. Threads exchange only records behind a lock and wake-ups.
"""

from streamseg.publish.control import ControlClient, ControlServer
from streamseg.publish.keys import ClientKeys, ServerKeys
from streamseg.publish.publisher import Publisher
from streamseg.publish.subscriber import Subscriber, message_age_ms

__all__ = [
    "ClientKeys",
    "ControlClient",
    "ControlServer",
    "Publisher",
    "ServerKeys",
    "Subscriber",
    "message_age_ms",
]
