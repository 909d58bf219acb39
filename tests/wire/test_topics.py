"""Topics: one source's is never the prefix of another's."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamseg.config import SOURCE_ID_PATTERN as CONFIG_PATTERN
from streamseg.errors import WireError
from streamseg.wire.topics import SOURCE_ID_PATTERN, check_source_id, image_topic, mask_topic

SOURCE_IDS = st.from_regex(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,63}", fullmatch=True)


def test_the_configuration_allows_the_same_source_ids():
    assert SOURCE_ID_PATTERN == CONFIG_PATTERN


@given(SOURCE_IDS, SOURCE_IDS)
def test_a_topic_matches_its_own_source_only(one, other):
    for topic in (mask_topic, image_topic):
        assert topic(one).startswith(topic(other)) == (one == other)
    assert not image_topic(one).startswith(mask_topic(other))


@pytest.mark.parametrize("source_id", ["", "-a", ".a", "a/b", "a b", "ä", "a\n", "a" * 65, "a\x00"])
def test_ids_that_break_a_topic_are_refused(source_id):
    with pytest.raises(WireError, match="source id"):
        check_source_id(source_id)
