import pytest

from streamseg.cli.tables import Table, format_table


def test_columns_are_aligned_and_figures_short():
    table = Table("Recall", ("", "AR@10", "n"), (("box", 0.12345, 7), ("a long name", float("nan"), 1234)))
    assert format_table(table).splitlines() == [
        "Recall",
        "               AR@10     n",
        "  -----------  -----  ----",
        "  box          0.123     7",
        "  a long name      –  1234",
    ]


def test_a_table_without_rows_has_a_head():
    assert format_table(Table("Nothing", ("a", "b"), ())).splitlines() == ["Nothing", "  a  b", "  -  -"]


def test_rows_have_as_many_cells_as_columns():
    with pytest.raises(ValueError, match="zip"):
        format_table(Table("t", ("a", "b"), (("x",),)))
