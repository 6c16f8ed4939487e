"""Published numbers: every table is there, every cell parses, and the cells are the paper's."""

import pytest

from foir_lib.bench import published as module
from foir_lib.bench.published import claims, published, tables
from foir_lib.data.download import manifest_root, models
from foir_lib.errors import InputError, IntegrityError

# rows: counted by hand from the printed grids, e.g. table 1 = 3 sets x 4 sizes x 8 columns;
# A2 = 3 x (4 x 3 DINOv2 + 2 x 3 CLIP); A7 = 3 x (4 x 2 + 2 x 2)
ROWS = {
    "phs-1": 96, "phs-2": 48, "phs-3": 28, "phs-4": 24, "phs-a1": 48, "phs-a2": 54,
    "phs-a3": 84, "phs-a4": 9, "phs-a5": 15, "phs-a6": 15, "phs-a7": 36,
}  # fmt: skip

# read off the paper's tables by eye
CELLS = [
    ("phs-1", "coco", "dinov2-large", "PHS", "MP@100", 61.3),
    ("phs-1", "voc", "dinov2-giant", "Mask", "MAP@100", 85.3),
    ("phs-1", "visual-genome", "dinov2-base", "CBIR", "MP@100", 29.6),
    ("phs-1", "visual-genome", "dinov2-giant", "PHS", "MAP@100", 34.5),
    ("phs-2", "coco", "clip-base", "Mask", "MP@100", 27.4),
    ("phs-2", "voc", "clip-large", "FA", "MAP@100", 76.5),
    ("phs-3", "coco", "dinov2-small", "Mask (point)", "MP@100", 2.4),
    ("phs-3", "coco", "dinov2-giant", "PHS (segment)", "MP@100", 61.0),
    ("phs-4", "coco", "dinov2-base", "Crop-N", "MP@100", 49.6),
    ("phs-4", "coco", "clip-large", "PHS-N", "MP@100", 57.6),
    ("phs-a1", "voc", "dinov2-base", "FA+PHS", "MP@100", 81.2),
    ("phs-a2", "coco", "dinov2-giant", "PHS (query-db)", "MP@100", 61.4),
    ("phs-a2", "visual-genome", "clip-large", "PHS (query-db)", "MP@100", 29.9),
    ("phs-a3", "voc", "dinov2-large", "Mask-N", "MP@100", 72.1),
    ("phs-a4", "visual-genome", "dinov2-large", "PHS (max)", "MP@100", 29.7),
    ("phs-a5", "coco", "dinov2-large", "PHS (after+scale)", "MP@100", 57.9),
    ("phs-a5", "voc", "dinov2-large", "PHS (identity)", "MP@100", 75.5),
    ("phs-a6", "coco", "dinov2-large", "Attention mask", "MP@100", 59.9),
    ("phs-a7", "visual-genome", "clip-base", "Crop+PHS", "MP@100", 24.4),
]
# the same measurement under another name, in another table
SAME = {
    "PHS (sum)": "PHS",
    "PHS (before+scale)": "PHS",
    "PHS (box)": "PHS",
    "Mask (box)": "Mask",
}


def test_every_table_of_the_paper_is_there_with_all_its_cells():
    assert {table: len(published(table)) for table in tables()} == ROWS


@pytest.mark.parametrize("table", ROWS)
def test_cells_are_plain_percentages_with_one_decimal(table):
    rows = published(table)
    assert rows["value"].between(0, 100).all()
    assert all(float(f"{value:.1f}") == value for value in rows["value"])
    assert set(rows["table"]) == {table} and rows.notna().all().all()


@pytest.mark.parametrize("cell", CELLS, ids=lambda c: "-".join(map(str, c[:4])))
def test_cells_read_by_eye(cell):
    rows = published(cell[0])
    for column, wanted in zip(module.COLUMNS[1:5], cell[1:5], strict=True):
        rows = rows[rows[column] == wanted]
    assert rows["value"].tolist() == [cell[5]]


def test_sums_of_columns_added_by_hand():
    rows = published("phs-1")
    coco = rows[(rows["dataset"] == "coco") & (rows["metric"] == "MP@100")]
    sums = coco.groupby("method")["value"].sum().round(1).to_dict()
    assert sums == {"CBIR": 229.1, "Mask": 176.2, "FA": 230.8, "PHS": 237.5}


def test_a_cell_printed_in_several_tables_is_the_same_in_all():
    seen, shared = {}, 0
    for table in tables():
        for row in published(table).itertuples(index=False):
            key = (row.dataset, row.model, SAME.get(row.method, row.method), row.metric)
            shared += key in seen
            assert seen.setdefault(key, row.value) == row.value, (table, key)
    assert shared == sum(ROWS.values()) - len(seen) and len(seen) == 288


def test_models_are_known_by_name():
    used = {model for table in tables() for model in published(table)["model"]}
    known = models()
    assert used == set(known.loc[known["in_paper"], "name"])


def test_unknown_table_suggests_the_nearest():
    with pytest.raises(InputError, match=r"'phs-a11'.*did you mean 'phs-a1'"):
        published("phs-a11")
    with pytest.raises(InputError, match="known are phs-1"):
        published("nothing like it")


def test_a_reader_can_not_spoil_the_cache():
    rows = published("phs-a4")
    rows.loc[0, "value"] = 0.0
    assert published("phs-a4")["value"][0] == 58.4


def test_claims_hold_the_numbers_of_the_text():
    rows = claims().set_index("claim")["value"]
    assert rows["VOC single-object queries"] == 38
    assert rows["VOC multi-object queries, DINOv2 large, PHS, MP@100"] == 77.9
    assert rows["VOC multi-object queries, DINOv2 large, Mask, MP@100"] == 77.2
    assert rows["prompt noise of the mean image side on Visual Genome"] == 9.0
    assert rows.notna().all() and rows.index.is_unique


HEAD = "table,dataset,model,method,metric,value\n"
GOOD = "t,coco,m,PHS,MP@100,54.8\n"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (HEAD, "no rows"),
        (HEAD.replace("metric,", ""), "columns"),
        ("", "no table"),
        (HEAD + GOOD + GOOD.replace("54.8", "54,8").replace("PHS", "FA"), "no table.*line 3"),
        (HEAD + GOOD.replace("54.8", "54.85"), "line 2 has value '54.85'"),
        (HEAD + GOOD.replace("54.8", "-"), "line 2 has value '-'"),
        (HEAD + GOOD.replace("54.8", "nan"), "value 'nan'"),
        (HEAD + GOOD.replace("54.8", "154.8"), "value '154.8'"),
        (HEAD + GOOD.replace("coco", "cocoa"), "dataset 'cocoa'"),
        (HEAD + GOOD.replace("MP@100", "MP"), "metric 'MP'"),
        (HEAD + GOOD.replace("t,", "u,"), "table 'u'"),
        (HEAD + GOOD.replace("PHS", ""), "empty method"),
        (HEAD + GOOD + GOOD, "line 3 repeats a cell"),
    ],
)
def test_a_damaged_csv_is_named_with_its_line(tmp_path, monkeypatch, text, message):
    (tmp_path / "published").mkdir()
    (tmp_path / "published" / "t.csv").write_text(text)
    monkeypatch.setattr(module, "manifest_root", lambda: tmp_path)
    module._read.cache_clear()
    with pytest.raises(IntegrityError, match=message):
        published("t")
    module._read.cache_clear()


def test_csv_files_are_written_one_way():
    for path in (manifest_root() / "published").glob("*.csv"):
        raw = path.read_bytes()
        assert raw.endswith(b"\n") and b"\r" not in raw and not raw.startswith(b"\xef\xbb\xbf")
