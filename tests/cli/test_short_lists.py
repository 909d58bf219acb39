import pytest

from streamseg.cli.segment_job import parse_prompts
from streamseg.cli.short_lists import expand_list, expand_rows
from streamseg.errors import DataError


@pytest.mark.parametrize(
    ("text", "expanded"),
    [
        pytest.param("520,360", "[[520, 360]]", id="one point"),
        pytest.param("520, 360", "[[520, 360]]", id="space after the comma"),
        pytest.param(" 520 360 ", "[[520, 360]]", id="space alone"),
        pytest.param("520.5,.25", "[[520.5, 0.25]]", id="fractions"),
        pytest.param("520,360 600,400", "[[520, 360], [600, 400]]", id="two points"),
        pytest.param("520,360;600,400", "[[520, 360], [600, 400]]", id="semicolon"),
        pytest.param("[520, 360]", "[[520, 360]]", id="flat JSON"),
        pytest.param("[[520, 360]]", "[[520, 360]]", id="JSON"),
        pytest.param("[[[1, 2]], [[3, 4]]]", "[[[1, 2]], [[3, 4]]]", id="JSON of several objects"),
        pytest.param("520", "520", id="half a point"),
        pytest.param("1,2,3", "1,2,3", id="odd"),
        pytest.param("1,,2", "[[1, 2]]", id="two commas"),
        pytest.param("[1,2", "[1,2", id="open bracket"),
        pytest.param("1-2", "1-2", id="not a list"),
        pytest.param("nan,1", "nan,1", id="not a number"),
        pytest.param("", "", id="empty"),
    ],
)
def test_points(text, expanded):
    assert expand_rows(2)(text) == expanded


def test_boxes_and_labels():
    assert expand_rows(4)("10,20,200,300") == "[[10, 20, 200, 300]]"
    assert expand_rows(4)("10,20") == "10,20"
    assert expand_list("1,0") == expand_list("[1, 0]") == "[1, 0]"
    assert expand_list("1") == "[1]"
    assert expand_list("[[1], [0]]") == "[[1], [0]]"


def test_short_form_is_the_same_prompt():
    short = parse_prompts(expand_rows(2)("520,360 10,20"), expand_list("1,0"), expand_rows(4)("1,2,30,40"))
    assert short == parse_prompts("[[520, 360], [10, 20]]", "[1, 0]", "[[1, 2, 30, 40]]")


@pytest.mark.parametrize("text", ["520", "1,2,3", "x,y", ""])
def test_error_names_both_forms(text):
    with pytest.raises(DataError, match=r"x,y as in 520,360"):
        parse_prompts(expand_rows(2)(text), None, None)
