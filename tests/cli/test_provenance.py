import json
import sys
from datetime import datetime

from streamseg import __version__
from streamseg.cli.provenance import provenance


def test_provenance_holds_versions_command_and_machine():
    origin = provenance()
    assert origin["versions"]["streamseg"] == __version__
    assert {"torch", "numpy", "pycocotools"} <= origin["versions"].keys()
    assert origin["command"][1:] == sys.argv[1:]
    assert origin["machine"].endswith("CPUs")
    assert datetime.fromisoformat(origin["measured"]).tzinfo is not None
    assert json.loads(json.dumps(origin)) == origin
