"""Source ids on the wire."""

import pytest

from streamseg.config import SOURCE_ID_PATTERN as CONFIG_PATTERN
from streamseg.errors import WireError
from streamseg.wire.json_fields import SOURCE_ID_PATTERN, check_source_id


def test_configuration_allows_same_source_ids():
    assert SOURCE_ID_PATTERN == CONFIG_PATTERN


@pytest.mark.parametrize("source_id", ["", "-a", ".a", "a/b", "a b", "ä", "a\n", "a" * 65, "a\x00"])
def test_source_ids_invalid_in_topics_are_rejected(source_id):
    with pytest.raises(WireError, match="source id"):
        check_source_id(source_id)
