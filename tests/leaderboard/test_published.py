"""Published numbers: the files of the package, what they become, what does not fit in them, and bad ones."""

from __future__ import annotations

import json
import re
import shutil
from decimal import Decimal
from fractions import Fraction
from pathlib import Path

import pytest

from evalkit.errors import UsageError
from evalkit.leaderboard.board import Mean
from evalkit.leaderboard.published.checks import inconsistencies, permuted
from evalkit.leaderboard.published.reported import improvements, read

REPORTS = Path(__file__).parents[2] / "reports"
FILES = {file.stem: file for file in sorted((REPORTS / "published").glob("*.json"))}
ROWS = {
    "b3": 2,
    "e5-omni": 2,
    "embeddinggemma-2": 1,
    "llave": 6,
    "mme5": 1,
    "mmeb-leaderboard": 14,
    "mteb-5057": 1,
    "omniue": 3,
    "qwen3-vl-embedding": 6,
    "unime": 10,
    "virtue": 51,  # 18 of the MMEB table, 6 of Table 7, 27 of the SCaR table
    "vlm2vec-reproduction": 2,
    "vlm2vec-v1": 15,
    "vlm2vec-v1-checkpoints": 3,
    "vlm2vec-v1-readme": 1,
    "vlm2vec-v2": 8,
    "wemm": 5,
}

# The groups as the paper of MMEB has them, written down apart from the cards.
CLASSIFICATION = ["ImageNet-1K", "N24News", "HatefulMemes", "VOC2007", "SUN397", "Place365", "ImageNet-A"]
CLASSIFICATION += ["ImageNet-R", "ObjectNet", "Country211"]
VQA = ["OK-VQA", "A-OKVQA", "DocVQA", "InfographicsVQA", "ChartQA", "Visual7W", "ScienceQA", "VizWiz", "GQA", "TextVQA"]
RETRIEVAL = ["VisDial", "CIRR", "VisualNews_t2i", "VisualNews_i2t", "MSCOCO_t2i", "MSCOCO_i2t", "NIGHTS", "WebQA"]
RETRIEVAL += ["FashionIQ", "Wiki-SS-NQ", "OVEN", "EDIS"]
GROUNDING = ["MSCOCO", "RefCOCO", "RefCOCO-Matching", "Visual7W-Pointing"]
INTERACTIVE = ["SCaR/RefCOCO_plus", "SCaR/RefCOCOg", "SCaR/COCO_Stuff", "SCaR/VisualGenome", "SCaR/ADE20K"]
OOD = [*CLASSIFICATION[5:], *VQA[6:], *RETRIEVAL[8:], *GROUNDING[1:]]
GENERAL = [*CLASSIFICATION, *VQA, *RETRIEVAL, *GROUNDING]
MEMBERS = {
    "general": GENERAL,
    "interactive": INTERACTIVE,
    "classification": CLASSIFICATION,
    "vqa": VQA,
    "retrieval": RETRIEVAL,
    "grounding": GROUNDING,
    "ind": [task for task in GENERAL if task not in OOD],
    "ood": OOD,
}


def literal(name: str) -> list[dict]:
    """The rows of a file, numbers as the text that stands there."""
    return json.loads(FILES[name].read_text(encoding="utf-8"), parse_float=str, parse_int=str)["rows"]


@pytest.fixture(scope="module")
def rows():
    return {row.slug: row for row in read()}


def test_the_files_are_all_there_whole_and_written_in_one_way():
    assert {name: len(literal(name)) for name in FILES if name != "models"} == ROWS
    for file in FILES.values():
        text = file.read_text(encoding="utf-8")
        assert text == json.dumps(json.loads(text), indent=2, ensure_ascii=False) + "\n", file.name


def test_every_row_of_every_file_stands_in_one_row_of_the_board(rows):
    placed = [(record.file, record.number) for row in rows.values() for record in row.records]
    assert len(placed) == len(set(placed)) == sum(ROWS.values())
    assert {file for file, _ in placed} == {f"evalkit's reports/published/{name}.json" for name in ROWS}
    for row in rows.values():
        assert row.primary == row.records[: len(row.primary)]
        assert re.fullmatch(r"[a-z0-9]+(-[a-z0-9]+)*", row.slug)
        for record in row.records:
            printed = literal(Path(record.file).stem)[record.number - 1]
            assert {k: str(v) for k, v in record.printed.scores.items()} == printed.get("scores", {})
            assert {k: str(v) for k, v in record.printed.aggregates.items()} == printed.get("aggregates", {})
            assert (row.model, row.training, record.printed.source) == (
                printed["model"],
                printed["training"],
                printed["source"],
            )
            assert row.prompting == printed.get("prompting", row.prompting)
    assert len({row.label for row in rows.values()}) == len(rows) == 83


# -- numbers --


def test_fractions_are_exactly_the_printed_percent(rows):
    for row in rows.values():
        for record, names in ((row.general, GENERAL), (row.interactive, INTERACTIVE)):
            printed = {} if record is None else {task: str(value) for task, value in record.printed.scores.items()}
            expected = {task: float(f"{printed[task]}e-2") for task in names if task in printed}
            assert {task: value for task, value in row.scores.items() if task in names} == expected
    assert rows["virtue-2b"].scores["SCaR/RefCOCO_plus"] == 0.288
    assert rows["qqmm-embed"].means["general"].value == 0.72175


def test_means_are_the_printed_ones_else_those_of_the_tasks(rows):
    whole = printed = 0
    for row in rows.values():
        assert list(row.means) == list(MEMBERS)
        for group, mean in row.means.items():
            record = row.interactive if group == "interactive" else row.general
            scores = (
                {} if record is None else {task: int(value * 1000) for task, value in record.printed.scores.items()}
            )
            there = [scores[task] for task in MEMBERS[group] if task in scores]
            if record is not None and group in record.printed.aggregates:
                value = float(f"{record.printed.aggregates[group]}e-2")
                reported = len(there) < len(MEMBERS[group])
                printed += not reported
                expected = Mean(value, None, None, len(there), len(MEMBERS[group]), reported=reported)
            elif len(there) == len(MEMBERS[group]):
                whole += 1
                expected = Mean(sum(there) / (100_000 * len(there)), None, None, len(there), len(there))
            else:
                expected = Mean(None, None, None, len(there), len(MEMBERS[group]))
            assert (
                mean == pytest.approx(expected)
                if mean.value is None
                else mean.value == pytest.approx(expected.value, abs=1e-12)
            )
            assert (mean.n_done, mean.n_tasks, mean.reported) == (
                expected.n_done,
                expected.n_tasks,
                expected.reported,
            )
    assert whole + printed == 17 * 7 + 29
    assert min(whole, printed) > 20
    # Its five scores give 30.6, which a footnote says.
    assert rows["virtue-2b"].means["interactive"].value == 0.304
    assert rows["unime-7b"].means["general"] == Mean(0.666, None, None, 0, 36, reported=True)


def test_every_printed_mean_is_re_added_and_those_that_do_not_follow_are_known():
    """Its own arithmetic: whole thousandths of a percent, and the largest error that rounding can make."""

    def thousandths(text: str) -> tuple[int, Fraction]:
        decimals = len(text.partition(".")[2])
        return round(float(text) * 1000), Fraction(1000, 2 * 10**decimals)

    def off(printed: str, parts: list[tuple[str, int]]) -> bool:
        total = sum(weight for _, weight in parts)
        value = Fraction(sum(thousandths(text)[0] * weight for text, weight in parts), total)
        slack = sum(thousandths(text)[1] * weight for text, weight in parts) / total + thousandths(printed)[1]
        return abs(value - thousandths(printed)[0]) > slack

    checked, found = 0, []
    for name in ROWS:
        for number, row in enumerate(literal(name), 1):
            scores, means = row.get("scores", {}), row.get("aggregates", {})
            for group, printed in means.items():
                ways = {}
                if set(MEMBERS[group]) <= set(scores):
                    ways["tasks"] = [(scores[task], 1) for task in MEMBERS[group]]
                elif group == "general":
                    for way, keys in (
                        ("meta", ("classification", "vqa", "retrieval", "grounding")),
                        ("ind+ood", ("ind", "ood")),
                    ):
                        if set(keys) <= set(means):
                            ways[way] = [(means[key], len(MEMBERS[key])) for key in keys]
                checked += len(ways)
                found += [(name, number, group, way) for way, parts in ways.items() if off(printed, parts)]
    assert checked == 8 * 7 + 27 + 14 + 2 + 2 * (24 + 7 + 10 + 6 + 1 + 1) + (2 + 6 + 1 + 2)
    unime = [("unime", number, "general", way) for number in range(1, 11) for way in ("meta", "ind+ood")]
    assert found == [
        *[("mmeb-leaderboard", number, "general", "meta") for number in (1, 12, 13)],
        *unime,
        ("virtue", 3, "general", "meta"),
        ("virtue", 16, "general", "meta"),
        ("virtue", 16, "general", "ind+ood"),
        ("virtue", 19, "general", "ind+ood"),
        ("virtue", 21, "general", "meta"),
        ("virtue", 24, "general", "meta"),
        ("virtue", 37, "interactive", "tasks"),
        ("vlm2vec-v1", 3, "retrieval", "tasks"),
        *[("vlm2vec-v1", 7, group, "tasks") for group in ("general", "grounding", "ind", "ood")],
    ]


UNWEIGHTED = "; it is the mean of the meta-tasks without weights. So in"
BELOW = (
    "Below chance (10.0) by more than guessing can be, which a weak model does not explain: prompt or evaluation may "
    "be at fault."
)
GME = (
    "On SCaR/VisualGenome, SCaR/COCO_Stuff, SCaR/ADE20K the scores of GME-2B are 7.5, 5.8, 6.2, and those of "
    "GME-2B, cropped 5.8, 6.2, 7.5: the same in another order. So in VIRTUE (SCaR table)."
)
LAMRA = (
    "On SCaR/VisualGenome, SCaR/COCO_Stuff, SCaR/ADE20K the scores of LamRA-7B are 5.3, 3.1, 8.9, and those of "
    "LamRA-7B, cropped 3.1, 8.9, 5.3: the same in another order. So in VIRTUE (SCaR table)."
)


def misprint(label: str, printed: str, group: str, parts: str, places: str) -> str:
    return f"{label}: {printed} is printed for {group}, which does not follow from {parts} {places}."


def unime(label: str, printed: str, metas: str, halves: str, places: str = "UniME (MMEB table)") -> str:
    parts = f"the four meta-tasks ({metas}) nor from IND and OOD ({halves}){UNWEIGHTED}"
    return misprint(label, printed, "MMEB-36", parts, places)


FOOTNOTES = {
    ("clip-bigg14", "general"): [unime("CLIP (ViT-BigG/14)", "44.3", "41.95", "41.97")],
    ("e5-v-llava16-by-unime", "general"): [unime("E5-V (LLaVA-1.6), by UniME", "37.5", "33.85", "33.84")],
    ("e5-v-phi35v-by-unime", "general"): [unime("E5-V (Phi-3.5-V), by UniME", "36.1", "32.59", "32.57")],
    ("eva-clip-8b", "general"): [unime("EVA-CLIP (8B)", "43.7", "41.39", "41.43")],
    ("gme-2b", "interactive"): [BELOW, GME],
    ("gme-2b-crop", "interactive"): [BELOW, GME],
    ("gme-7b", "interactive"): [BELOW],
    ("gme-7b-crop", "interactive"): [BELOW],
    ("lamra-7b", "interactive"): [BELOW, LAMRA],
    ("lamra-7b-crop", "interactive"): [BELOW, LAMRA],
    ("mmret-7b-scar-train", "general"): [
        misprint(
            "MMRet-7B +SCaR-train",
            "49.4",
            "MMEB-36",
            "the four meta-tasks (49.03), but does from IND and OOD (49.44). So in",
            "VIRTUE (Table 7)",
        )
    ],
    ("openclip-vit-l-by-unime", "general"): [unime("OpenCLIP (ViT-L), by UniME", "36.6", "34.26", "34.22")],
    ("siglip", "general"): [
        misprint(
            "SigLIP",
            "34.8",
            "MMEB-36",
            "the four meta-tasks (30.67), but does from IND and OOD (34.83). So in",
            "VIRTUE (MMEB table)",
        )
    ],
    ("siglip", "retrieval"): [
        misprint("SigLIP", "31.6", "Retrieval", "its 12 tasks (44.09). So in", "VLM2Vec (Table 6)")
    ],
    ("uniir-clip-sf", "general"): [
        misprint("UniIR (CLIP_SF)", "44.7", "MMEB-36", "its 36 tasks (44.31). So in", "VLM2Vec (Table 6)")
    ],
    ("uniir-clip-sf", "grounding"): [
        misprint("UniIR (CLIP_SF)", "65.3", "Grounding", "its 4 tasks (62.15). So in", "VLM2Vec (Table 6)")
    ],
    ("uniir-clip-sf", "ind"): [
        misprint("UniIR (CLIP_SF)", "47.1", "IND", "its 20 tasks (46.76). So in", "VLM2Vec (Table 6)")
    ],
    ("uniir-clip-sf", "ood"): [
        misprint("UniIR (CLIP_SF)", "41.7", "OOD", "its 16 tasks (41.25). So in", "VLM2Vec (Table 6)")
    ],
    ("unime-7b", "general"): [
        unime(
            "UniME-7B",
            "66.6",
            "63.62",
            "63.73",
            "UniME (MMEB table), MMEB leaderboard (results.csv), VIRTUE (MMEB table)",
        )
    ],
    ("unime-7b-stage-1", "general"): [unime("UniME-7B, stage 1", "41.6", "38.05", "38.04")],
    ("unime-phi35v", "general"): [
        unime("UniME (Phi-3.5-V)", "64.2", "61.34", "61.31", "UniME (MMEB table), MMEB leaderboard (results.csv)")
    ],
    ("unime-phi35v-stage-1", "general"): [unime("UniME (Phi-3.5-V), stage 1", "40.3", "37.04", "37.02")],
    ("virtue-2b", "interactive"): [
        misprint("VIRTUE-2B", "30.4", "SCaR-5", "its 5 tasks (30.60). So in", "VIRTUE (SCaR table)")
    ],
    ("virtue-7b-scar-train", "general"): [
        misprint(
            "VIRTUE-7B +SCaR-train",
            "66.8",
            "MMEB-36",
            "the four meta-tasks (65.96), but does from IND and OOD (66.78). So in",
            "VIRTUE (Table 7)",
        )
    ],
    ("vlm2vec-2b", "general"): [
        misprint(
            "VLM2Vec-2B", "59.3", "MMEB-36", "the four meta-tasks (60.07). So in", "MMEB leaderboard (results.csv)"
        )
    ],
    ("vlm2vec-2b-scar-train", "general"): [
        misprint(
            "VLM2Vec-2B +SCaR-train",
            "19.8",
            "MMEB-36",
            "IND and OOD (19.31), but does from the four meta-tasks (19.79). So in",
            "VIRTUE (Table 7)",
        )
    ],
    ("vlm2vec-llava16-by-unime-low-resolution", "general"): [
        unime("VLM2Vec (LLaVA-1.6), by UniME, low resolution", "63.3", "60.06", "60.01")
    ],
}


def test_what_does_not_fit_is_footnoted_and_nothing_else(rows):
    found = {(row.slug, group): list(texts) for row in rows.values() for group, texts in row.footnotes.items()}
    assert found == FOOTNOTES


def test_what_kind_of_flag_each_is(rows):
    flags = [flag for row in rows.values() for flag in (*inconsistencies(row), *permuted(row, rows.values()))]
    kinds = {"does not follow from": 21, "Below chance": 6, "the same in another order": 4}
    assert {kind: sum(kind in flag.text for flag in flags) for kind in kinds} == kinds
    assert len(flags) == sum(kinds.values())


def test_the_gains_over_the_best_baseline_are_those_of_the_paper(rows):
    gains = [(g.row.slug, g.baseline.slug, g.group, f"{100 * g.relative:.1f}") for g in improvements(rows.values())]
    assert gains == [
        ("virtue-2b", "vlm2vec-2b", "general", "8.5"),  # 64.8 / 59.7
        ("virtue-7b", "unime-7b", "general", "3.0"),  # 68.6 / 66.6, as printed
        ("virtue-2b-scar-train", "vlm2vec-2b-scar-train", "interactive", "20.3"),  # 56.2 / 46.7
        ("virtue-7b-scar-train", "unime-7b-scar-train", "interactive", "15.2"),  # 56.9 / 49.4
    ]
    assert improvements(rows.values())[0].relative == pytest.approx(64.8 / 59.7 - 1, abs=1e-12)
    assert improvements(list(rows.values())[::-1]) == improvements(rows.values())


# -- rows --


def test_reruns_and_copies_of_one_model_are_one_row(rows):
    row = rows["vlm2vec-2b"]
    assert (row.label, row.prompting, row.facts.size) == ("VLM2Vec-2B", "text", "2B")
    assert [record.place for record in row.primary] == ["VLM2Vec-V2 score files (v2.0.0)", "VIRTUE (SCaR table)"]
    assert row.primary == (row.general, row.interactive) == row.records[:2]
    assert row.means["general"].value == pytest.approx(0.59744, abs=5e-6)
    other = [(source.title, label, value) for source, label, value in row.other]
    assert ("MMEB leaderboard, results.csv (results.csv)", "MMEB-36", 0.593) in other
    assert ("VIRTUE: Visual-Interactive Text-Image Universal Embedder (MMEB table)", "MMEB-36", 0.597) in other
    url = "https://huggingface.co/TIGER-Lab/VLM2Vec-Qwen2VL-2B/blob/main/eval/ImageNet-R_score.json"
    assert [(label, value) for source, label, value in row.other if source.url == url] == [("ImageNet-R", 0.866)]
    assert len(other) == 5 + 7 + 1
    assert [source.url for source in row.sources] == [
        "https://github.com/TIGER-AI-Lab/VLM2Vec/tree/6e1e1d4/experiments/public/all_scores",
        "https://arxiv.org/abs/2510.00523",
    ]
    assert row.seen == "2025-10-01T00:00:00Z"
    assert rows["clip-l14"].seen is None  # of its paper the month is known


@pytest.mark.parametrize(
    "slug", ["vlm2vec-2b", "vlm2vec-7b", "gme-2b", "gme-7b", "lamra-7b", "clip-l14", "openclip-l14", "blip2", "e5-v-8b"]
)
def test_rows_taken_for_one_model_by_their_numbers_have_these_numbers(rows, slug):
    """The VIRTUE paper's means are those of the shown record's tasks, rounded to a tenth."""
    (copy,) = [record for record in rows[slug].records if record.place == "VIRTUE (MMEB table)"]
    assert list(copy.printed.aggregates) == [group for group in MEMBERS if group != "interactive"]
    for group, printed in copy.printed.aggregates.items():
        mean = rows[slug].means[group]
        assert not mean.reported
        assert abs(Decimal(repr(mean.value)) * 100 - printed) < Decimal("0.051")


def test_what_documents_do_not_say_is_one_model_stays_apart(rows):
    assert rows["clip"].general is None
    assert rows["clip-l14"].interactive is None
    assert "may be the CLIP-L/14" in rows["clip"].notes[0]
    assert rows["openclip-l14"].means["general"].value != rows["openclip-vit-l-by-unime"].means["general"].value


def test_one_row_for_each_prompting_with_a_label_of_its_own(rows):
    found = {row.prompting: row.label for row in rows.values() if row.model == "clip"}
    assert found == {"text": "CLIP", "reclip": "CLIP, ReCLIP", "red_circle": "CLIP, red circle"}
    found = {(row.training, row.prompting): row.label for row in rows.values() if row.model == "virtue-7b"}
    assert found == {
        ("", "native"): "VIRTUE-7B",
        ("", "crop"): "VIRTUE-7B, cropped",
        ("SCaR-train", "native"): "VIRTUE-7B +SCaR-train",
    }
    assert rows["gme-2b-crop"].general is None  # MMEB has no regions: its numbers stand with the usual prompting
    assert rows["clip-l14-mmeb-train"].prompting is None


def test_facts_are_of_the_training(rows):
    bare, trained = rows["virtue-2b"].facts, rows["virtue-2b-scar-train"].facts
    assert (bare.parameters, bare.dimension) == (trained.parameters, trained.dimension) == (2208.9856, 1536)
    assert (bare.licence, bare.url) == (None, None)
    assert (trained.licence, trained.url) == ("cc-by-nc-4.0", "https://huggingface.co/Sony/VIRTUE-2B-SCaR")
    known = {slug: rows[slug].facts.trained_on_mmeb for slug in ("clip-l14", "clip-l14-mmeb-train", "llave-7b")}
    assert known == {"clip-l14": "no", "clip-l14-mmeb-train": "yes", "llave-7b": "unknown"}
    licences = {row.facts.licence for slug, row in rows.items() if slug.startswith(("virtue-", "vlm2vec-"))}
    assert licences == {"cc-by-nc-4.0", None}


# -- other people's files --


def numbers(**changes) -> dict:
    row = {"model": "gme-2b", "called": "GME", "training": "", "table": "T", "source": "p. 1"}
    return row | {"aggregates": {"general": 50.0}} | changes


def document(*rows: dict, **changes) -> dict:
    head = {"schema": "evalkit.published", "schema_version": 1, "name": "Ours", "title": "Our report"}
    return head | {"url": "https://example.org/a", "kind": "paper"} | changes | {"rows": list(rows)}


def models(**facts) -> dict:
    known = {model: {"name": model, "trainings": {"": {}}} | own for model, own in facts.items()}
    return {"schema": "evalkit.published-models", "schema_version": 1, "models": known}


def written(folder: Path, *contents: dict) -> list[Path]:
    files = [folder / f"{number}.json" for number in range(len(contents))]
    for file, content in zip(files, contents, strict=True):
        file.write_text(json.dumps(content), encoding="utf-8")
    return files


def test_the_examples_of_the_readme_are_read(tmp_path):
    blocks = re.findall(r"```json\n(.*?)```", (REPORTS / "README.md").read_text(encoding="utf-8"), re.DOTALL)
    assert len(blocks) == 2
    for number, block in enumerate(blocks):
        (tmp_path / f"{number}.json").write_text(block, encoding="utf-8")
    rows = {row.slug: row for row in read([tmp_path])}
    ours = rows["ours-2b"]
    assert (ours.label, ours.prompting, ours.facts.parameters, ours.seen) == (
        "Ours-2B",
        "native",
        2210.0,
        "2026-01-31T00:00:00Z",
    )
    assert (ours.means["interactive"].value, ours.means["interactive"].n_done) == (0.573, 2)
    gains = {(gain.row.slug, gain.baseline.slug): gain.relative for gain in improvements(rows.values())}
    assert gains["ours-2b", "vlm2vec-2b"] == pytest.approx(57.3 / 24.0 - 1)
    assert len(gains) == 5


def test_the_readme_counts_the_rows():
    text = (REPORTS / "README.md").read_text(encoding="utf-8")
    assert {name: int(n) for name, n in re.findall(r"^\| `(\S+)\.json` \| .* \| (\d+) \|$", text, re.MULTILINE)} == ROWS


def test_a_copy_of_a_file_adds_records_and_changes_no_number(tmp_path, rows):
    shutil.copy(FILES["virtue"], tmp_path)
    for row in read([tmp_path]):
        assert row.means == rows[row.slug].means
        copies = [record for record in row.records if record.file == str(tmp_path / "virtue.json")]
        assert len(row.records) == len(rows[row.slug].records) + len(copies)
        assert not set(map(id, copies)) & set(map(id, row.primary))


def test_which_record_is_shown(tmp_path):
    tasks = dict.fromkeys(GENERAL, 10.0)

    def shown(*rows: dict, **changes) -> str:
        contents = [document(row, name=f"D{number}", **changes) for number, row in enumerate(rows)]
        (row,) = [row for row in read(written(tmp_path, *contents, models(m={}))) if row.model == "m"]
        assert row.general is row.records[0]
        assert len(row.records) == len(rows)
        return row.general.document.name

    m = {"model": "m"}
    assert shown(numbers(**m), numbers(**m, aggregates={}, scores=tasks)) == "D1"  # all tasks before means
    partial = numbers(**m, aggregates={}, scores=dict(list(tasks.items())[:35]))
    assert shown(partial, numbers(**m)) == "D1"  # means before some tasks
    wide = numbers(**m, aggregates={"general": 50.0, "ind": 50.0})
    assert shown(numbers(**m), wide) == "D1"  # more numbers
    assert shown(numbers(**m), numbers(**m)) == "D0"  # then the file's name
    versions = [numbers(**m, aggregates={}, scores=tasks, table=t) for t in ("v2.0.1", "v2.0.10", "v2.0", "v1.9")]
    assert shown(*versions, kind="scores") == "D1"  # the newest version, by numbers and not by letters


def test_own_and_earlier_and_official_records_come_first(tmp_path):
    own = document(numbers(model="m"), name="own", own=["m"], date="2026-02-01")
    early = document(numbers(model="m"), name="early", date="2024-10")
    undated = document(numbers(model="m"), name="undated")
    official = document(numbers(model="m"), name="official", kind="scores")
    page = document(numbers(model="m"), name="page", kind="page", own=["m"])

    def shown(*documents: dict) -> str:
        files = written(tmp_path, models(m={}), *documents)
        (row,) = [row for row in read(files) if row.model == "m"]
        assert row.general is row.records[0]
        return row.records[0].document.name

    assert shown(own, early, undated, page) == "own"
    assert shown(page, undated, early) == "early"
    assert shown(page, undated) == "undated"
    assert shown(own, early, official) == "official"


def test_a_file_named_twice_is_read_once_and_the_order_does_not_matter(tmp_path):
    files = written(tmp_path, document(numbers(table="A"), numbers(table="B")), document(numbers(table="C")))
    first = read([*files, tmp_path, files[0]])
    assert first == read([files[1], files[0]])
    (row,) = [row for row in first if row.slug == "gme-2b"]
    assert len(row.records) == 4 + 3
    assert read([REPORTS / "published"]) == read()


def test_numbers_of_both_suites_in_one_row_stay_together(tmp_path):
    both = numbers(model="m", prompting="crop", aggregates={"general": 40.0, "interactive": 50.0})
    native = numbers(model="m", prompting="native", aggregates={"interactive": 60.0})
    plain = numbers(model="m", aggregates={"general": 45.0}, table="U")
    rows = [r for r in read(written(tmp_path, models(m={}), document(both, native, plain))) if r.model == "m"]
    assert {r.label: (r.means["general"].value, r.means["interactive"].value) for r in rows} == {
        "m": (0.45, 0.6),
        "m, cropped": (0.4, 0.5),
    }
    (cropped,) = [row for row in rows if row.prompting == "crop"]
    assert cropped.primary == cropped.records  # one record, once
    # Of a model with one prompting, MMEB stands in its row; of one with several strange ones, in none of theirs.
    alone = [r for r in read(written(tmp_path, models(m={}), document(both, plain))) if r.model == "m"]
    assert [(row.label, row.prompting, len(row.records)) for row in alone] == [("m", "crop", 2)]
    drawn = numbers(model="m", prompting="overlay", aggregates={"interactive": 60.0})
    rows = [r for r in read(written(tmp_path, models(m={}), document(both, drawn, plain))) if r.model == "m"]
    assert {row.label: row.prompting for row in rows} == {"m": None, "m, cropped": "crop", "m, overlay": "overlay"}


def test_rounding_is_that_of_the_printed_decimals(tmp_path):
    """Five scores that average 17.6, printed with and without a decimal."""

    def flagged(mean: str, *parts: str) -> bool:
        row = numbers(model="m", prompting="text", aggregates={}, scores={"GQA": 1})
        scores = ", ".join(f'"{task}": {part}' for task, part in zip(INTERACTIVE, parts, strict=True))
        text = json.dumps(document(row)).replace('"GQA": 1', scores)
        files = written(tmp_path, models(m={}), {})
        files[1].write_text(text.replace('"aggregates": {}', f'"aggregates": {{"interactive": {mean}}}'))
        (found,) = [row for row in read(files) if row.model == "m"]
        return bool(found.footnotes)

    # The parts are off by at most 0.05 together, and so is a mean in tenths: 0.1 is the most.
    tenths = ("17.0", "18.0", "18.0", "17.0", "18.0")
    found = {mean: flagged(mean, *tenths) for mean in ("17.6", "17.7", "17.5", "17.71", "17.8", "17.4", "18", "17")}
    assert [mean for mean, flag in found.items() if flag] == ["17.71", "17.8", "17.4", "17"]
    assert not flagged("17.65", *tenths)  # 0.05 for the parts and 0.005 for itself
    assert flagged("17.655", *tenths)  # 0.0505
    whole = ("17", "18", "18", "17", "18")  # each may be half a percent more
    assert {mean: flagged(mean, *whole) for mean in ("18.1", "18.15", "18", "17", "19")} == {
        "18.1": False,  # 0.5 for the parts and 0.05 for itself
        "18.15": True,
        "18": False,
        "17": False,
        "19": True,
    }


def test_a_swap_of_two_is_no_rotation_and_other_tables_are_not_compared(tmp_path):
    tasks = INTERACTIVE

    def flagged(a: list[float], b: list[float], table: str = "T") -> int:
        one = numbers(model="m", prompting="text", aggregates={}, scores=dict(zip(tasks, a, strict=True)))
        two = one | {"prompting": "crop", "scores": dict(zip(tasks, b, strict=True)), "table": table}
        rows = [r for r in read(written(tmp_path, models(m={}), document(one, two))) if r.model == "m"]
        return len({text for row in rows for text in row.footnotes.get("interactive", ())})

    start = [21.0, 22.0, 23.0, 24.0, 25.0]
    assert flagged(start, [23.0, 21.0, 22.0, 24.5, 25.5]) == 1
    assert flagged(start, [23.0, 21.0, 22.0, 24.5, 25.5], "other") == 0
    assert flagged(start, [22.0, 21.0, 23.0, 24.5, 25.5]) == 0
    assert flagged(start, start) == 0
    assert flagged(start, [22.0, 23.0, 24.0, 25.0, 21.0]) == 1
    assert flagged(start, [22.0, 23.0, 24.0, 25.0, 26.0]) == 0  # a chain that does not close


NASTY = "</script><img src=x onerror=alert(1)> \u202e [x](javascript:y) \U0001f642"


def test_a_name_full_of_markup_is_data(tmp_path):
    row = numbers(model="m", called=NASTY, variant=NASTY, training=NASTY, source=NASTY, note=NASTY)
    facts = {"m": {"name": NASTY, "note": NASTY, "trainings": {NASTY: {"licence": NASTY, "note": NASTY}}}}
    (found,) = [r for r in read(written(tmp_path, models(**facts), document(row, title=NASTY))) if r.model == "m"]
    assert found.name == NASTY
    assert found.label == f"{NASTY}, {NASTY}"
    assert found.facts.licence == NASTY
    assert found.sources[0].title == f"{NASTY} (T)"
    assert found.notes == (NASTY,)
    assert found.slug == "m-script-img-src-x-onerror-alert-1-x-javascript-y"


def test_no_two_rows_have_one_slug_or_label(tmp_path):
    facts = {"a-b": {"name": "Same"}, "a": {"name": "Same", "trainings": {"": {}, "b": {}}}, "c": {"name": "Same, b"}}
    rows = [numbers(model="a-b"), numbers(model="a"), numbers(model="a", training="b"), numbers(model="c")]
    found = {row.slug: row.label for row in read(written(tmp_path, models(**facts), document(*rows)))}
    own = {slug: label for slug, label in found.items() if label.startswith("Same")}
    assert own == {"a": "Same (a)", "a-b": "Same, b (a-b)", "a-b-2": "Same (a-b-2)", "c": "Same, b (c)"}


def test_a_laboratory_can_add_to_a_known_model(tmp_path):
    more = {"gme-2b": {"name": "GME-2B", "parameters": 2210, "trainings": {"ours": {"trained_on_mmeb": "yes"}}}}
    files = written(tmp_path, models(**more), document(numbers(training="ours")))
    rows = {row.slug: row for row in read(files)}
    assert (rows["gme-2b-ours"].label, rows["gme-2b-ours"].facts.trained_on_mmeb) == ("GME-2B, ours", "yes")
    assert rows["gme-2b"].facts.parameters == rows["gme-2b-ours"].facts.parameters == 2210.0
    assert rows["gme-2b"].facts.trained_on_mmeb == "no"


# -- bad files --


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", r"0\.json is not JSON, or not all of it .*: repair it or leave it out$"),
        (b'{"schema": "evalkit.published", "rows": [', "is not JSON, or not all of it"),
        (b"\xff\xfe\xff", "is not JSON"),
        (b"[" * 100_000, "is not JSON"),
        (b'{"schema": "evalkit.published", "rows": 1' + b"0" * 5000 + b"}", "is not JSON"),
        (b"[]", r"holds no published numbers: its schema is None, not 'evalkit\.published' or .*: name another file$"),
        (b"{}", "its schema is None"),
        (b'{"schema": ["evalkit.published"]}', "holds no published numbers"),
        (b'{"schema": "evalkit.run", "schema_version": 1}', r"its schema is 'evalkit\.run'"),
        (b'{"schema": "evalkit.published"}', r"0\.json, schema_version: Field required"),
        (b'{"schema": "evalkit.published", "schema_version": 2}', r"schema_version \(2\): Input should be 1"),
        (
            b'{"schema": "evalkit.published", "rows": [{"model": "a", "model": "b"}]}',
            r"row 1 \(b\), model stands twice",
        ),
    ],
)
def test_foreign_and_broken_files_are_refused(tmp_path, content, message):
    (tmp_path / "0.json").write_bytes(content)
    with pytest.raises(UsageError, match=message):
        read([tmp_path])


SCAR = {"prompting": "text", "aggregates": {}, "scores": {"SCaR/ADE20K": 50.0}}


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"scores": {"ImageNet1K": 1.0}}, r"row 2 \(gme-2b\), scores: 'ImageNet1K' is no task .*; near: ImageNet-1K"),
        ({"scores": {"RefCOCO_plus": 1.0}}, r"near: SCaR/RefCOCO_plus"),
        (
            {"scores": {"Overall": 1.0}},
            r"'Overall' is no task of MMEB or SCaR.* \(evalkit tasks mmeb scar lists them\)",
        ),
        ({"scores": {"\x1b[31m": 1.0}}, r"scores: '\\x1b\[31m' is no task"),
        ({"aggregates": {"grounded": 1.0}}, r"aggregates: 'grounded' is no group; near: grounding \(groups: general,"),
        ({"aggregates": {"all": 1.0}}, r"'all' is no group.* \(groups: general, interactive, classification"),
        ({"scores": {"GQA": 100.1}}, r"row 2 \(gme-2b\), scores, GQA \(100\.1\): must be a percentage from 0 to 100"),
        ({"scores": {"GQA": -1}}, r"GQA \(-1\): must be a percentage"),
        ({"scores": {"GQA": float("nan")}}, r"GQA \(nan\): must be a number"),
        ({"scores": {"GQA": float("inf")}}, r"GQA \(inf\): must be a number"),
        ({"scores": {"GQA": True}}, r"GQA \(True\): must be a number"),
        ({"scores": {"GQA": "50"}}, r"GQA \('50'\): must be a number"),
        ({"scores": {"GQA": None}}, r"GQA \(None\): must be a number"),
        ({"scores": {"GQA": 50.1234567}}, r"GQA \(50\.1234567\): must have at most 6 decimals"),
        ({"aggregates": {"general": 0.648}}, r"a mean of 0\.648 percent is below chance: is it a fraction\?"),
        ({"aggregates": {}}, r"row 2 \(gme-2b\) has neither scores nor aggregates"),
        (
            {"model": "gme2b"},
            r"row 2 \(gme2b\), model: no file of models has 'gme2b'; near: gme-2b.*: add it to a file",
        ),
        ({"model": "GME 2B"}, r"row 2 \(GME 2B\), model \('GME 2B'\): String should match"),
        ({"training": "MMEB"}, r"training: no file of models has 'MMEB' among the trainings of gme-2b \(''\): add it"),
        ({"promting": "text"}, r"promting \('text'\): Extra inputs are not permitted; near: prompting; reports/README"),
        ({"prompting": "text"}, r"prompting \(text\): the row has no numbers of SCaR, so it must be null"),
        (SCAR | {"prompting": None}, r"prompting: it must say how regions reached the model"),
        (SCAR | {"prompting": "by hand"}, r"prompting \('by hand'\): String should match"),
        ({"url": "javascript:alert(1)"}, r"url \('javascript:alert\(1\)'\): String should match"),
        ({"url": 'https://example.org/"><script>'}, r"url .*: String should match"),
        ({"called": "two\nlines"}, r"called \('two\\nlines'\): must be one line"),
        ({"called": "\ud800"}, r"called"),
        ({"table": ""}, r"table \(''\): String should have at least 1 character"),
    ],
)
def test_a_bad_row_is_named_with_its_value_and_the_way_out(tmp_path, changes, message):
    (file,) = written(tmp_path, document(numbers(table="good"), numbers(**changes)))
    with pytest.raises(UsageError, match=message) as caught:
        read([file])
    assert str(file) in str(caught.value)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"kind": "blog"}, r"0\.json, kind \('blog'\): Input should be"),
        ({"date": "2026-13"}, r"date \('2026-13'\)"),
        ({"date": "2026"}, r"date \('2026'\): String should match"),
        ({"url": "http://example.org"}, r"url \('http://example\.org'\): String should match"),
        ({"own": ["gme-3b"]}, r"own: no file of models has 'gme-3b'; near: gme-"),
        ({"comparisons": [{"table": "T", "group": "genral"}]}, r"comparison 1: 'genral' is no group; near: general"),
        ({"comparisons": [{"table": "U", "group": "general"}]}, r"comparison 1: no row is of the table 'U'"),
        ({"notes": "x"}, r"notes \('x'\): Extra inputs are not permitted; near: note"),
    ],
)
def test_a_bad_document_is_refused(tmp_path, changes, message):
    (file,) = written(tmp_path, document(numbers(), **changes))
    with pytest.raises(UsageError, match=message):
        read([file])


def test_a_row_twice_is_refused(tmp_path):
    (file,) = written(tmp_path, document(numbers(), numbers(table="other"), numbers(aggregates={"general": 51.0})))
    with pytest.raises(UsageError, match=r"0\.json, row 3 \(gme-2b\) stands there already as row 1, .*: leave one out"):
        read([file])
    file.write_text(json.dumps(document(numbers())).replace('"general": 50.0', '"general": 50.0, "general": 51.0'))
    with pytest.raises(UsageError, match=r"row 1 \(gme-2b\), aggregates, general stands twice: leave one out"):
        read([file])
    (file,) = written(tmp_path, document())
    with pytest.raises(UsageError, match=r"rows \(\[\]\): "):
        read([file])


@pytest.mark.parametrize(
    ("facts", "message"),
    [
        (
            {"gme-2b": {"name": "Other"}},
            r"models, gme-2b, name is 'Other', but 'GME-2B' in evalkit's reports/published/models",
        ),
        ({"gme-2b": {"name": "GME-2B", "dimension": 8}}, r"gme-2b, dimension is 8, but 1536 in .*: make them the same"),
        (
            {"gme-2b": {"name": "GME-2B", "trainings": {"": {"trained_on_mmeb": "yes"}}}},
            r"trainings, '', trained_on_mmeb is 'yes', but 'no'",
        ),
        ({"GME": {}}, r"models, GME \('GME'\): String should match"),
        ({"m": {"trainings": {}}}, r"models, m, trainings \(\{\}\): "),
        ({"m": {"size": "big"}}, r"models, m, size \('big'\): String should match"),
        ({"m": {"parameters": "2B"}}, r"models, m, parameters \('2B'\): must be a number"),
        ({"m": {"dimension": 1.5}}, r"models, m, dimension \(1\.5\)"),
        ({"m": {"license": "MIT"}}, r"models, m, license \('MIT'\): Extra inputs are not permitted; near: licence"),
    ],
)
def test_bad_models_are_refused(tmp_path, facts, message):
    with pytest.raises(UsageError, match=message):
        read(written(tmp_path, models(**facts)))


def test_paths_that_hold_nothing_are_refused(tmp_path):
    with pytest.raises(UsageError, match=r"holds no published numbers: put \.json files into it"):
        read([tmp_path])
    with pytest.raises(UsageError, match=r"gone\.json cannot be read: No such file"):
        read([tmp_path / "gone.json"])
