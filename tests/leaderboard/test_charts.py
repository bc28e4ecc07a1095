"""Charts: a number is drawn where it belongs, and never outside of its chart."""

from __future__ import annotations

import math
import re
import xml.etree.ElementTree as ET

import pytest
from hypothesis import given
from hypothesis import strategies as st

from evalkit.leaderboard.pages.charts import (
    Scale,
    StripDot,
    axis,
    bar,
    scale_of_differences,
    scale_of_scores,
    strip,
)
from evalkit.leaderboard.pages.scatter import Dot, scatter

fractions = st.floats(0, 1)
differences = st.floats(-1, 1)


def drawn(svg):
    return ET.fromstring(svg)


def place(text):
    assert text.endswith("%")
    return float(text[:-1]) / 100


@given(st.lists(fractions | st.none(), max_size=5))
def test_a_scale_of_scores_begins_at_0_and_holds_all(values):
    scale = scale_of_scores(values)
    assert scale.low == 0
    assert scale.high >= max((v for v in values if v is not None), default=0) - 1e-9
    assert 1 <= scale.parts <= 5
    assert [f"{100 * mark:.6f}".rstrip("0")[-1] for mark in scale.marks] == ["."] * (scale.parts + 1)  # whole per cent


@given(st.lists(differences, max_size=5))
def test_a_scale_of_differences_has_0_in_the_middle_and_holds_all(values):
    scale = scale_of_differences(values)
    assert scale.low == -scale.high
    assert all(scale.low - 1e-9 <= value <= scale.high + 1e-9 for value in values)
    assert 0 in scale.marks
    assert scale.at(0) == "50%"


def test_a_scale_wastes_little():
    assert scale_of_scores([0.68]).high == pytest.approx(0.8)
    assert scale_of_scores([0.31]).high == pytest.approx(0.4)
    assert scale_of_scores([0.049]).high == pytest.approx(0.05)
    assert scale_of_scores([1.0]).high == 1
    assert scale_of_differences([0.03, -0.01]).high == pytest.approx(0.04)
    assert scale_of_differences([-0.9]).high == 1


@given(fractions, fractions)
def test_places_are_in_order_and_inside(one, other):
    scale = Scale(0, 0.8, 4)
    assert 0 <= place(scale.at(one)) <= 1
    if one < other:
        assert place(scale.at(one)) <= place(scale.at(other))
    if one <= 0.8:
        assert place(scale.at(one)) == pytest.approx(one / 0.8, abs=1e-4)


def test_a_strip_draws_value_interval_chance_and_median():
    svg = drawn(strip(Scale(0, 1, 5), StripDot(0.5, 0.4, 0.65, "published", 0.1, 0.3)))
    assert svg.get("aria-hidden") == "true"
    parts = {part.get("class"): part for part in svg}
    assert set(parts) == {"dot published", "whisker published", "chance", "median"}
    assert parts["dot published"].get("cx") == "50%"
    assert (parts["whisker published"].get("x1"), parts["whisker published"].get("x2")) == ("40%", "65%")
    assert parts["chance"].get("x1") == parts["chance"].get("x2") == "10%"
    assert parts["median"].get("x1") == "30%"


def test_a_strip_of_nothing_draws_nothing_and_one_of_a_difference_its_zero():
    assert len(drawn(strip(Scale(0, 1, 5), StripDot()))) == 0
    (zero,) = drawn(strip(Scale(-0.2, 0.2, 4, differences=True), StripDot()))
    assert (zero.get("class"), zero.get("x1")) == ("zero", "50%")


def test_an_axis_says_what_is_drawn():
    svg = drawn(axis(Scale(-0.1, 0.1, 4, differences=True), "Dots: <difference>."))
    assert svg.get("role") == "img"
    assert svg.find("title").text == "Dots: <difference>."
    assert [text.text for text in svg.findall("text")] == ["\N{MINUS SIGN}10", "\N{MINUS SIGN}5", "0", "+5", "+10"]
    assert [text.get("x") for text in svg.findall("text")] == ["0%", "25%", "50%", "75%", "100%"]
    assert [text.text for text in drawn(axis(Scale(0, 0.05, 5), "")).findall("text")] == ["0", "1", "2", "3", "4", "5"]


def test_a_bar_is_as_long_as_its_value():
    svg = drawn(bar(0.654, 0.621, 0.689))
    assert svg.get("viewBox") == "0 0 100 6"
    assert svg.find("rect").get("width") == "65.4"
    assert re.findall(r"[MH](\d+\.\d)", svg.find("path").get("d")) == ["62.1", "62.1", "68.9", "68.9"]
    assert drawn(bar(0.2, None, None)).find("path") is None


DOTS = [
    Dot("small <b>", 100, 0.3, 0.28, 0.32, ""),
    Dot("middle", 2000, 0.5, None, None, "published"),
    Dot("no better", 2500, 0.4, None, None, "published"),
    Dot("large", 8000, 0.6, 0.58, 0.62, ""),
]


def test_a_scatter_has_a_dot_for_each_and_names_those_that_no_smaller_one_reaches():
    svg = drawn(scatter(DOTS, "MMEB-36"))
    assert svg.get("role") == "img"
    assert (
        svg.get("aria-label")
        == "MMEB-36 against size. mean Precision@1 over MMEB-36 in percent against parameters, on a logarithmic axis."
    )
    assert svg.find("desc").text.startswith("4 entries whose size is known")
    dots = list(svg.iter("circle"))
    assert [dot.find("title").text for dot in dots] == [
        "small <b>: 30.0",
        "middle: 50.0",
        "no better: 40.0",
        "large: 60.0",
    ]
    assert [text.text for text in svg.findall("text[@class='label']")] == ["small <b>", "middle", "large"]
    assert len(svg.findall("line[@class='whisker']")) == 2
    _, _, width, height = map(float, svg.get("viewBox").split())
    for dot in dots:
        assert 0 < float(dot.get("cx")) < width
        assert 0 < float(dot.get("cy")) < height


def test_a_scatter_is_logarithmic_across_and_linear_up():
    svg = drawn(scatter(DOTS, ""))
    dots = {dot.find("title").text.split(":")[0]: dot for dot in svg.iter("circle")}
    x = {name: float(dot.get("cx")) for name, dot in dots.items()}
    y = {name: float(dot.get("cy")) for name, dot in dots.items()}
    decade = (x["large"] - x["small <b>"]) / math.log10(80)
    assert x["middle"] - x["small <b>"] == pytest.approx(decade * math.log10(20), abs=0.2)
    assert y["small <b>"] - y["middle"] == pytest.approx(2 * (y["middle"] - y["large"]), abs=0.2)


def test_names_in_a_scatter_do_not_lie_on_each_other():
    crowd = [Dot(f"a model number {i}", 1000 + i, 0.3 + i / 1000, None, None, "") for i in range(30)]
    svg = drawn(scatter(crowd, ""))
    boxes = []
    for label in svg.findall("text[@class='label']"):
        wide, x, y = 6.4 * len(label.text), float(label.get("x")), float(label.get("y"))
        left = x - wide if label.get("text-anchor") == "end" else x
        boxes.append((left, left + wide, y - 10, y + 3))
    assert 1 <= len(boxes) < 30
    for i, one in enumerate(boxes):
        for other in boxes[:i]:
            assert one[1] <= other[0] or other[1] <= one[0] or one[3] <= other[2] or other[3] <= one[2]


def test_one_size_alone_is_drawn():
    assert len(list(drawn(scatter(DOTS[:1], "")).iter("circle"))) == 1
