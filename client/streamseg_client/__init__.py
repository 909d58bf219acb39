"""The light client of streamseg: receive and control what a streamseg publishes, with pyzmq and NumPy only.

    from streamseg_client import Subscriber

    for message in Subscriber("tcp://127.0.0.1:5555"):
        print(message.source_id, message.age_ms, [(o.track_id, o.box) for o in message.objects])

The classes are those of the package `streamseg`, from the folder `bundled`. A file `streamseg_client.pth` adds that
folder to the end of the search path, so that `from streamseg import Subscriber` works as well, and an installed
`streamseg` takes precedence.
"""

import sys
from pathlib import Path

try:
    import streamseg as _streamseg
except ModuleNotFoundError:
    # Python reads .pth files in site-packages only, not in a folder of `pip install --target` or in a zip file.
    sys.path.append(str(Path(__file__).with_name("bundled")))
    import streamseg as _streamseg

from streamseg.publish import ClientKeys, ControlClient, Publisher, ServerKeys, Subscriber, message_age_ms
from streamseg.structures.message import Message

__all__ = [
    "ClientKeys",
    "ControlClient",
    "Message",
    "Publisher",
    "ServerKeys",
    "Subscriber",
    "__version__",
    "message_age_ms",
]

__version__ = _streamseg.__version__
