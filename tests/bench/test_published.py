"""Published numbers: every table is there, every cell parses, and the cells are the paper's."""

from types import SimpleNamespace

import pandas as pd
import pytest
from scipy import stats

from foir_lib.bench import published as module
from foir_lib.bench.published import published, tables
from foir_lib.bench.tables.catalogue import find
from foir_lib.data.getting.download import manifest_root
from foir_lib.errors import InputError, IntegrityError
from foir_lib.models import zoo

# rows: counted by hand from the printed grids, e.g. table 1 = 3 sets x 4 sizes x 8 columns;
# A2 = 3 x (4 x 3 DINOv2 + 2 x 3 CLIP); A7 = 3 x (4 x 2 + 2 x 2)
ROWS = {
    "phs-1": 96, "phs-2": 48, "phs-3": 28, "phs-4": 24, "phs-a1": 48, "phs-a2": 54,
    "phs-a3": 84, "phs-a4": 9, "phs-a5": 15, "phs-a6": 15, "phs-a7": 36,
}  # fmt: skip
# ca: rows x 8 (medium and hard, two sets, with and without R1M) or x 4 (without); ca-6 has a count in each of 3 rows
ROWS |= {
    "ca-1": 22 * 8, "ca-2": 4 * 4, "ca-3": 4 * 4, "ca-4": 3 * 4, "ca-5": 2 * 4, "ca-6": 3 * 5, "ca-7": 8 * 8, "ca-8": 6 * 8,
    "ca-9": 4 * 4, "ca-10": 4 * 4, "ca-11": 3 * 4, "ca-12": 10 * 4, "ca-13": 5 * 2, "ca-14": 2 * 8, "ca-15": 3 * 8,
    "ra-2a": 2 * 4, "ra-2b": 3 * 2, "ra-2c": 9, "ra-3": 2 + 2 + 15 * 4,
}
# mao: 3 whole rows of the page and 3 cells of others; 42 of the README, of which 9 are also on the page
ROWS |= {"mao-main": 3 * 6 + 3 + 42 - 9, "mao-ablation": 4 * 2}
# ames: two networks, full and binary descriptors, two sets, medium and hard
ROWS |= {"ames": 2 * 2 * 4}
# px: SP, segmentation and dense matching in nine columns, D2R and detection in the four of boxes; 2.2 in eight and the overhead
ROWS |= {"px-2.1": (3 + 7 + 6) * 9 + (6 + 4) * 4, "px-2.2": 5 * 9, "px-reflection": 2}
DECIMALS = {"mao-main": 2, "mao-ablation": 2}  # of all others 1  # fmt: skip

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
    ("ca-1", "roxford5k", "resnet101", "GeM+CA", "mAP hard", 72.6),
    ("ca-1", "rparis6k+1m", "resnet101-", "HOW (GLDv2)†", "mAP medium", 76.4),
    ("ca-1", "roxford5k+1m", "delf", "DELF-D2R-R-ASMK+SP", "mAP hard", 38.1),
    ("ca-1", "rparis6k+1m", "resnet50", "GeM+CA", "mAP hard", 56.8),
    ("ca-2", "rparis6k", "resnet101", "GeM+CA (d=1024)", "mAP hard", 85.7),
    ("ca-3", "roxford5k", "resnet101", "GeM+CA (1 scale)", "mAP medium", 83.3),
    ("ca-4", "roxford5k", "resnet101", "GeM+CA (naive)", "mAP hard", 69.9),
    ("ca-5", "rparis6k", "resnet101", "GeM+CA (spectral)", "mAP medium", 93.1),
    ("ca-6", "any", "resnet101", "GeM+CA (mean-shift 1.5)", "clusters per image", 11),
    ("ca-6", "rparis6k", "resnet101", "GeM+CA (mean-shift 0.5)", "mAP hard", 83.8),
    ("ca-7", "rparis6k+1m", "resnet101", "GeM+CA+DF", "mAP hard", 72.0),
    ("ca-7", "roxford5k+1m", "resnet101", "GeM+alphaQE", "mAP medium", 77.8),
    ("ca-8", "roxford5k+1m", "resnet101", "GeM+CA (whole query)", "mAP medium", 81.8),
    ("ca-9", "roxford5k", "resnet50", "GeM+CA (rSfM-120k)", "mAP hard", 42.9),
    ("ca-10", "rparis6k", "resnet101", "one-to-many (softmax)", "mAP hard", 79.3),
    ("ca-11", "roxford5k", "resnet101", "many-to-many (max mean)", "mAP hard", 71.5),
    ("ca-12", "roxford5k", "resnet101", "many-to-many (mean max)", "mAP medium", 55.9),
    ("ca-12", "rparis6k", "resnet101", "many-to-many (softmax mean)", "mAP hard", 78.5),
    ("ca-13", "revisitop1m", "Tesla GPU", "GeM+CA", "ms per query", 530),
    ("ca-14", "rparis6k", "resnet101", "GeM+CA (no IVF)", "mAP medium", 93.1),
    ("ca-15", "roxford5k+1m", "resnet101", "CANet", "mAP hard", 51.4),
    ("ra-2a", "oxford5k", "resnet101", "RA (S=5)", "mAP", 76.8),
    ("ra-2b", "paris6k", "resnet101", "RPN+RA (no context)", "mAP", 75.8),
    ("ra-2c", "any", "resnet101", "RA", "ms per image", 123),
    ("ra-3", "paris106k", "resnet101", "RA+QE", "mAP", 85.4),
    ("ra-3", "oxford105k", "vgg16", "SPoC", "mAP", 50.1),
    ("mao-main", "instre-xxs", "gss", "GSS", "mAP", 67.98),
    ("mao-main", "permirw", "superglobal", "SuperGlobal", "mAP", 17.48),
    ("mao-main", "voxdetw", "dinov2-base-needles", "MaO", "mAP", 68.54),
    ("mao-main", "instre-xs", "clip-base", "MaO", "mAP", 89.39),
    ("mao-main", "permir", "alpha-clip", "alpha-CLIP", "mAP", 88.21),
    ("mao-main", "instre-xxs", "clip-base-needles", "CBIR", "mAP", 62.04),
    ("mao-ablation", "voxdetw", "dinov2-base-needles", "MaO (full-image)", "mAP", 48.24),
    ("ames", "roxford5k", "dinov2", "SuperGlobal+AMES", "mAP hard", 83.7),
    ("ames", "rparis6k", "dinov2", "SuperGlobal+AMES (binary)", "mAP hard", 90.2),
    ("ames", "roxford5k", "cvnet", "SuperGlobal+AMES (binary)", "mAP hard", 77.5),
    ("ames", "rparis6k", "cvnet", "SuperGlobal+AMES", "mAP medium", 93.4),
    ("px-2.1", "proxford5k", "sift", "SIFT+SP", "mIoU D medium", 26.1),
    ("px-2.1", "prparis6k", "sift", "SIFT+SP", "mIoU S hard", 7.8),
    ("px-2.1", "prparis6k", "ssd", "D2R+VLAD", "mIoU D medium", 33.0),
    ("px-2.1", "prparis6k", "ssd", "D2R+ASMK", "mIoU D hard", 33.1),
    ("px-2.1", "proxford5k", "faster-rcnn", "D2R+Mean", "mIoU D hard", 16.7),
    ("px-2.1", "proxford5k", "owl-vit", "OWL-ViT", "mIoU D hard", 6.3),
    ("px-2.1", "prparis6k", "os2d", "OS2D-v2-init", "mIoU D medium", 15.4),
    ("px-2.1", "proxford5k", "resnet50", "HSNet (FSS)", "mIoU S medium", 35.7),
    ("px-2.1", "prparis6k", "resnet50", "SSP (COCO)", "mIoU S hard", 41.7),
    ("px-2.1", "any", "resnet101", "Mining (VOC)", "mIoU avg", 26.68),
    ("px-2.1", "prparis6k", "glunet", "WarpC-GLUNet (geometric)", "mIoU D hard", 26.4),
    ("px-2.1", "proxford5k", "glunet", "GLUNet (geometric)", "mIoU S hard", 4.6),
    ("px-2.2", "proxford5k", "delg", "DELG+SP", "mAP@50:5:95 medium", 39.6),
    ("px-2.2", "prparis6k+1m", "glunet", "WarpC-GLUNet", "mAP@50:5:95 hard", 28.1),
    ("px-2.2", "proxford5k+1m", "owl-vit", "OWL-ViT", "mAP@50:5:95 hard", 13.6),
    ("px-2.2", "prparis6k", "resnet50", "SSP", "mAP@50:5:95 medium", 46.4),
    ("px-2.2", "any", "owl-vit", "OWL-ViT", "s per 100 pairs", 296.21),
    ("px-2.2", "any", "faster-rcnn", "D2R+ASMK", "s per 100 pairs", 0.11),
    ("px-reflection", "imagenet", "gpt-4v", "model names alone, from a list", "accuracy", 60.6),
    ("px-reflection", "imagenet", "clip-l", "encoder alone", "accuracy", 74.8),
]
# the same measurement under another name, in another table
SAME = {
    "PHS (sum)": "PHS",
    "PHS (before+scale)": "PHS",
    "PHS (box)": "PHS",
    "Mask (box)": "Mask",
    "GeM+CA (d=512)": "GeM+CA",
    "GeM+CA (5 scales)": "GeM+CA",
    "R-MAC (S=5)": "R-MAC",
    "RA (S=5)": "RA",
}


def test_every_table_of_the_paper_is_there_with_all_its_cells():
    assert {table: len(published(table)) for table in tables()} == ROWS


@pytest.mark.parametrize("table", ROWS)
def test_cells_are_plain_percentages_with_their_decimals_and_costs_whole_numbers(table):
    rows = published(table)
    cost = rows["metric"].isin(module.COSTS)
    percent = ~cost & (rows["metric"] != "s per 100 pairs")
    assert rows.loc[percent, "value"].between(0, 100).all() and (rows.loc[cost, "value"] % 1 == 0).all()
    places = [2 if metric in module.HUNDREDTHS else DECIMALS.get(table, 1) for metric in rows["metric"]]
    assert all(float(f"{value:.{n}f}") == value for value, n in zip(rows["value"], places, strict=True))
    assert set(rows["table"]) == {table} and rows.notna().all().all()


@pytest.mark.parametrize("cell", CELLS, ids=lambda c: "-".join(map(str, c[:4])))
def test_cells_read_by_eye(cell):
    rows = published(cell[0])
    for column, wanted in zip(module.COLUMNS[1:5], cell[1:5], strict=True):
        rows = rows[rows[column] == wanted]
    assert rows["value"].tolist() == [cell[5]]


def test_both_sources_of_a_cell_are_told():
    """A row of the page: six cells, of which the README prints four; its own rows have no cell of detected boxes."""
    rows = published("mao-main")
    gss = rows[rows["method"] == "GSS"].set_index("dataset")["source"].to_dict()
    assert [name for name, source in gss.items() if source == "paper"] == ["voxdetw", "permirw"]
    assert rows["source"].value_counts().to_dict() == {"README": 33, "paper": 12, "paper, README": 9}
    assert "source" not in published("phs-1")


def test_rows_that_were_beside_the_published_ones_before_get_them_anew():
    row = {"table": "mao-main", "dataset": "voxdet", "model": "dinov2-base-needles", "method": "MaO", "metric": "mAP", "ours": 80.0}
    spec = SimpleNamespace(models=("dinov2-base-needles",), alone=True, also=())
    once = module.beside(pd.DataFrame([row]), spec)
    assert once.loc[0, ["published", "source"]].tolist() == [83.7, "paper, README"] and once["difference"][0] == pytest.approx(-3.7)
    assert set(once["dataset"]) == {"voxdet"} and "GSS" in set(once["method"])
    pd.testing.assert_frame_equal(module.beside(once, spec), once, check_like=True)


def test_later_systems_stand_below_the_paper_s_on_its_data_sets():
    row = {"table": "ca-1", "dataset": "roxford5k", "model": "resnet101", "method": "GeM+CA", "metric": "mAP hard", "ours": 70.0}
    shown = module.beside(pd.DataFrame([row]), find("ca-1"))
    ames = shown[shown["method"].str.contains("AMES")]
    assert set(ames["table"]) == {"ca-1"} and set(ames["dataset"]) == {"roxford5k"} and ames["ours"].isna().all()
    assert ames.set_index(["model", "method", "metric"])["published"].sort_index().tolist() == [78.7, 89.2, 77.5, 88.8, 83.7, 92.7, 82.2, 91.1]
    assert shown[["method", "published"]].to_numpy().tolist()[0] == ["GeM+CA", 72.6] and set(shown["source"].dropna()) == {"README"}
    pd.testing.assert_frame_equal(module.beside(shown, find("ca-1")), shown, check_like=True)
    other = pd.DataFrame([row | {"table": "ca-2", "method": "GeM+CA (d=128)"}])
    assert not module.beside(other, find("ca-2"))["method"].str.contains("AMES").any()


def test_sums_of_columns_added_by_hand():
    rows = published("phs-1")
    coco = rows[(rows["dataset"] == "coco") & (rows["metric"] == "MP@100")]
    sums = coco.groupby("method")["value"].sum().round(1).to_dict()
    assert sums == {"CBIR": 229.1, "Mask": 176.2, "FA": 230.8, "PHS": 237.5}


def test_the_printed_averages_of_the_thesis_are_the_means_of_their_rows():
    rows = published("px-2.1").set_index(["model", "method"])
    printed = rows.loc[rows["metric"] == "mIoU avg", "value"]
    cells = rows.loc[(rows["metric"] != "mIoU avg") & rows.index.isin(printed.index), "value"].groupby(level=[0, 1])
    assert len(printed) == 16 and (cells.size() == 8).all()
    assert (cells.mean() - printed).abs().max() <= 0.005 + 1e-9
    boxes = rows.loc[~rows.index.isin(printed.index)]
    assert len(boxes) == 40 and boxes["metric"].str.contains(" D ").all()


def test_where_the_thesis_words_and_cells_part():
    rows = published("px-2.2")
    cells = rows[rows["dataset"] != "any"].set_index(["dataset", "metric", "method"])["value"].unstack(level=0)
    rising = sum(int((cells[f"{name}+1m"] > cells[name]).sum()) for name in ("proxford5k", "prparis6k"))
    assert cells.shape == (10, 4) and rising == 8
    best = cells.loc["mAP@50:5:95 medium"].max()
    words = pd.read_csv(manifest_root() / "published" / "px-text.csv", keep_default_na=False).set_index("claim")["value"]
    text = [words[f"best mAP@50:5:95 medium on {name} without distractors"] for name in ("PROxford", "PRParis")]
    assert (best["proxford5k"], best["prparis6k"]) == (39.6, 46.4) and text == [37.3, 47.0]
    assert words.notna().all() and words.index.is_unique
    assert words["labelled images of PROxford"] + words["labelled images of PRParis"] == words["labelled images of both sets"]
    pairs = published("px-2.1").set_index(["dataset", "metric", "model", "method"])["value"]
    d2r = pairs.unstack(level=[0, 1]).filter(like="D2R", axis=0)
    delg = pairs.xs(("delg", "DELG+SP"), level=["model", "method"])
    above = {key for key in d2r.columns if " D " in key[1] and d2r[key].max() > max(delg[key], pairs[(*key, "delf", "DELF+SP")])}
    assert above == {("prparis6k", "mIoU D hard")}


def test_the_study_s_p_does_not_follow_from_its_means():
    """Two samples of 320 answers (40 people, 8 questions a side) by the printed means and deviations."""
    words = pd.read_csv(manifest_root() / "published" / "px-text.csv").set_index("claim")["value"]
    n = int(words["participants of the user study"] * words["questions with outlines a participant answers"])
    sides = [value for side in ("with", "without") for value in (words[f"mean time {side} outlines"], words[f"standard deviation of the time {side} outlines"], n)]
    assert n == 320 and stats.ttest_ind_from_stats(*sides).pvalue == pytest.approx(0.0017, abs=1e-4)
    assert words["p of the difference between both"] == 0.00091


def test_a_cell_printed_in_several_tables_is_the_same_in_all():
    known, shared = {}, 0
    for table in tables():
        for row in published(table).itertuples(index=False):
            key = (row.dataset, row.model, SAME.get(row.method, row.method), row.metric)
            shared += key in known
            assert known.setdefault(key, row.value) == row.value, (table, key)
    assert shared == sum(ROWS.values()) - len(known)
    assert sum(dataset in module.FOCUS for dataset, *_ in known) == 288
    assert sum(dataset in (*module.REVISITED, "revisitop1m") for dataset, *_ in known) == 366 + 16  # by hand


def test_models_are_known_by_name():
    used = {model for table in tables() if table.startswith("phs") for model in published(table)["model"]}
    assert used == {model["name"] for model in zoo.MANIFEST if model["in_paper"]}


def test_zero_shot_and_fine_tuned_are_networks_of_their_own():
    """Of the ablation, DINOv2 zero-shot and the three rows that stand one upon the other."""
    rows = published("mao-ablation").query("dataset == 'voxdet'").set_index(["model", "method"])["value"].to_dict()
    tuned = {"CBIR": 54.33, "MaO (full-image)": 69.54, "MaO": 83.70}
    assert rows == {("dinov2-base", "CBIR"): 51.23} | {("dinov2-base-needles", method): value for method, value in tuned.items()}
    for table in ("mao-main", "mao-ablation"):
        rows = published(table)
        assert not rows["method"].str.contains("shot|tuned").any()
        assert set(rows.loc[rows["method"].isin(["CBIR", "MaO"]), "model"].str.removesuffix("-needles")) <= set(zoo.MODELS)


def test_unknown_table_suggests_the_nearest():
    with pytest.raises(InputError, match=r"'phs-a11'.*did you mean phs-a1"):
        published("phs-a11")
    with pytest.raises(InputError, match="known are ames, ca-1"):
        published("nothing like it")


def test_a_reader_can_not_spoil_the_cache():
    rows = published("phs-a4")
    rows.loc[0, "value"] = 0.0
    assert published("phs-a4")["value"][0] == 58.4


def test_claims_hold_the_numbers_of_the_text():
    rows = pd.read_csv(manifest_root() / "published" / "phs-text.csv", keep_default_na=False).set_index("claim")["value"]
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
        (HEAD + GOOD.replace("MP@100", "mIoU avg"), "line 2 has value '54.8'"),
        (HEAD + GOOD.replace("MP@100", "ms per query"), "line 2 has value '54.8'"),
        (HEAD + GOOD.replace("coco", "voxdet").replace("MP@100", "mAP"), "line 2 has value '54.8'"),
        (HEAD.replace("value", "value,source") + GOOD.replace("54.8", "54.8,hearsay"), "source 'hearsay'"),
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
    with pytest.raises(IntegrityError, match=message):
        published("t")


def test_csv_files_are_written_one_way():
    for path in (manifest_root() / "published").glob("*.csv"):
        raw = path.read_bytes()
        assert raw.endswith(b"\n") and b"\r" not in raw and not raw.startswith(b"\xef\xbb\xbf")
