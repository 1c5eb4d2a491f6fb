"""Reviews: layouts, joins by name, products that stay together."""

import pytest
from summary_files import put, tar_xz

from metastudy.errors import DataError
from metastudy.loaders import Files, summaries
from metastudy.loaders.summaries.reviews import OPINOSIS

FEWSUM = "summarization/fewsum_reviews/amazon"


def opinions(**changed):
    members = {
        "topics/room_holiday_inn_london.txt.data": b"Small room .\r\n, but \x93clean\x94 .\r\n . \r\n",
        "summaries-gold/room_holiday_inn_london/room.1.gold": b"Small.\r\nBut clean.\r\n",
        "summaries-gold/room_holiday_inn_london/room.2.gold": b"Clean.",
        "topics/food_holiday_inn_london.txt.data": b"Good food .\r\nReally .",
        "summaries-gold/food_holiday_inn_london/food.1.gold": b"Good.",
    }
    return tar_xz(members | changed)


def test_opinosis_has_a_sentence_a_line_and_keeps_products_together(tmp_path):
    put(tmp_path, OPINOSIS, opinions())
    found = summaries.opinosis(Files.in_folder(tmp_path))
    assert found.counts == {"documents": 2, "references": 3}
    room = found.documents[1]
    assert room.units == ("Small room .", ", but “clean” .") and room.references == ("Small. But clean.", "Clean.")
    assert {d.group for d in found.documents} == {"holiday_inn"}
    assert found.repairs == {"not UTF-8": ("topics/room_holiday_inn_london.txt.data",)}


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"summaries-gold/food_holiday_inn_london/food.1.gold": None}, "'food_holiday_inn_london' has no summaries"),
        ({"topics/food_holiday_inn_london.txt.data": None}, "'food_holiday_inn_london' has no sentences"),
        (
            {"topics/food_ritz.txt.data": b"Fine .", "summaries-gold/food_ritz/food.1.gold": b"Fine."},
            "'food_ritz' names 0 of the known products",
        ),
    ],
)
def test_opinosis_refuses(tmp_path, changed, message):
    put(tmp_path, OPINOSIS, opinions(**changed))
    with pytest.raises(DataError, match=message):
        summaries.opinosis(Files.in_folder(tmp_path))


def test_fewsum_is_tab_separated_in_spite_of_its_name(tmp_path):
    header = ["cat", "group_id", *(f"rev{i}" for i in range(1, 9)), *(f"summ{i}" for i in range(1, 4))]
    for part in ("train", "val", "test"):
        row = [
            "cloth",
            f"id{part}",
            f'"A ""nice"" {part}, really. Yes!"',
            *(f"Review {i}." for i in range(2, 9)),
            "S1.",
            "S2.",
            "NA",
        ]
        put(tmp_path, f"{FEWSUM}_{part}.csv", "\t".join(header) + "\n" + "\t".join(row) + "\n")
    found = summaries.fewsum_amazon(Files.in_folder(tmp_path))
    assert found.counts == {"documents": 3, "train": 1, "validation": 1, "test": 1, "references": 9}
    document = found.documents[0]
    assert document.units[:3] == ('A "nice" train, really.', "Yes!", "Review 2.") and len(document.units) == 9
    assert document.references == ("S1.", "S2.", "NA")  # the text NA, no missing value
    put(tmp_path, f"{FEWSUM}_val.csv", ",".join(header) + "\n")
    with pytest.raises(DataError, match=r"amazon_val.csv has no column 'group_id'.*expected '\\t' between them"):
        summaries.fewsum_amazon(Files.in_folder(tmp_path))
