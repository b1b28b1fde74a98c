"""Figures: what they show is what they were given, for a reader, for a screen reader, and for whatever a name holds."""

import re

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from lxml import etree

from evalsuite.records import Interval, Rate
from evalsuite.reporting.charts import (
    Bar,
    Cross,
    Point,
    against,
    frontier,
    interval_bars,
    pareto,
    ticks,
    visible,
    whisker,
)

NAMES = [
    "</title></svg><script>alert(1)</script>",
    '" onload="alert(1)',
    "\u202egnp.exe\u202c \u2066x",
    "nul\x00bell\x07escape\x1b[31m",
    "עברית שם ארוך",
    "漢字" * 60,
    "z" + "\u0301" * 300,
    "lone \ud800 surrogate \ufffe",
    "a" * 200,
    "",
]


def parsed(svg):
    """The drawing as strict XML, with nothing in it that could run or that the page's policy refuses."""
    root = etree.fromstring(str(svg).encode())
    for element in root.iter():
        assert etree.QName(element).localname in ("svg", "title", "desc", "text", "line", "circle")
        assert not any(name == "style" or name.startswith("on") for name in element.attrib)
    return root


def texts(root):
    return [element.text or "" for element in root.iter("{*}text")]


def test_a_bar_s_numbers_stand_beside_it_and_in_the_description():
    root = parsed(interval_bars([Bar("bm25", 0.3691, 0.331, 0.408)], unit="nDCG@10"))
    assert "0.369 (0.331–0.408)" in texts(root)
    assert "bm25: 0.369 (0.331–0.408)" in root.findtext("{*}desc")
    assert root.findtext("{*}title") == "nDCG@10, 1 systems"
    assert root.get("role") == "img"


@given(st.floats(0, 1), st.floats(0, 1), st.floats(0, 1))
def test_dot_and_whisker_stand_where_the_axis_says(mean, low, high):
    root = parsed(interval_bars([Bar("x", mean, min(low, high), max(low, high))], unit="u"))
    marks = {float(t.text): float(t.get("x")) for t in root.iter("{*}text") if re.fullmatch(r"\d\.\d", t.text or "")}
    place = lambda value: marks[0.0] + value * (marks[1.0] - marks[0.0])  # noqa: E731
    assert float(root.find("{*}circle").get("cx")) == pytest.approx(place(mean), abs=0.1)
    line = next(line for line in root.iter("{*}line") if line.get("class") == "whisker")
    assert float(line.get("x1")) == pytest.approx(place(min(low, high)), abs=0.1)
    assert float(line.get("x2")) == pytest.approx(place(max(low, high)), abs=0.1)


def test_a_value_beyond_the_axis_widens_it():
    root = parsed(interval_bars([Bar("gap", -0.2, -0.35, 0.1), Bar("big", 1.7)], unit="u"))
    marks = [float(t) for t in texts(root) if re.fullmatch(r"-?\d\.\d", t)]
    assert min(marks) <= -0.35
    assert max(marks) >= 1.7
    assert all(0 <= float(dot.get("cx")) <= 360 for dot in root.iter("{*}circle"))


def test_a_run_without_a_number_is_a_row_with_words_and_no_dot():
    root = parsed(interval_bars([Bar("a", 0.5), Bar("b", None, words="! failed: out of memory")], unit="u"))
    assert len(list(root.iter("{*}circle"))) == 1
    assert "! failed: out of memory" in texts(root)
    assert "b: ! failed: out of memory" in root.findtext("{*}desc")


def test_systems_that_share_a_letter_have_it_in_one_column_and_neighbours_are_joined():
    rows = [
        Bar("a", 0.9, letters="a"),
        Bar("b", 0.8, letters="ab"),
        Bar("c", 0.7, letters="b"),
        Bar("d", 0.1, letters="a"),
    ]
    root = parsed(interval_bars(rows, unit="u"))
    columns = {
        letter: [
            float(t.get("x")) for t in root.iter("{*}text") if t.text == letter and t.get("text-anchor") == "middle"
        ]
        for letter in "ab"
    }
    assert {letter: (len(xs), len(set(xs))) for letter, xs in columns.items()} == {"a": (3, 1), "b": (2, 1)}
    brackets = [line for line in root.iter("{*}line") if line.get("class") == "bracket"]
    assert sorted(float(line.get("x1")) for line in brackets) == sorted([columns["a"][0], columns["b"][0]])


def test_more_letters_than_columns_stand_behind_the_numbers():
    rows = [Bar(f"s{i}", i / 20, letters="abcdefghijkl"[i]) for i in range(12)]
    root = parsed(interval_bars(rows, unit="u"))
    assert "0.550 (no interval) l" in texts(root)


@pytest.mark.parametrize("name", NAMES)
def test_any_name_makes_a_well_formed_drawing_in_which_it_is_text(name):
    bars = parsed(interval_bars([Bar(name, 0.5, 0.4, 0.6, "a"), Bar(name, None, words=name)], unit=name))
    points = [Point(name, 1.0, 0.5), Point(name, 3.0, 0.6), Point(name, None, 0.1, why=name)]
    plot = parsed(pareto(points, name, name))
    for root in (bars, plot):
        assert not re.search("[\u202a-\u202e\x00-\x1f]", "".join(root.itertext()))
        for text in root.iter("{*}text"):
            assert len(text.text or "") <= 70
            assert text.get("unicode-bidi") == "isolate"
            if (text.text or "").endswith("…"):
                assert len(text.findtext("{*}title")) > 20


def test_a_long_name_is_cut_and_stands_in_full_in_the_title():
    name = "model-" + "x" * 194
    root = parsed(interval_bars([Bar(name, 0.5)], unit="u"))
    [shown] = [t for t in root.iter("{*}text") if (t.text or "").startswith("model-")]
    assert len(shown.text) < 60
    assert shown.findtext("{*}title") == name


def test_control_characters_become_escapes_and_joiners_of_scripts_stay():
    assert visible("a\x00\u202eb\nc") == "a\\u0000\\u202eb c"
    assert visible("می\u200cخواهم") == "می\u200cخواهم"
    assert len(visible("\x00" * 10**6)) == 500


@given(st.lists(st.tuples(st.integers(0, 6), st.integers(0, 6)), min_size=1, max_size=12))
def test_the_frontier_holds_just_those_that_no_other_beats(points):
    def beaten(x, y):
        return any(a <= x and b >= y and (a, b) != (x, y) for a, b in points)

    best = frontier(points)
    assert sorted(best) == [i for i, point in enumerate(points) if not beaten(*point)]
    assert [points[i][0] for i in best] == sorted(points[i][0] for i in best)


def test_a_plot_lists_every_system_with_its_numbers_the_frontier_first():
    points = [Point("slow", 900.0, 0.4), Point("good", 120.0, 0.61234, 0.5, 0.7), Point("fast", 1.5, 0.3)]
    root = parsed(pareto(points, "ms/query", "nDCG@10"))
    told = root.findtext("{*}desc")
    assert told.startswith(
        "* fast: nDCG@10 0.300 (no interval), ms/query 1.5. * good: nDCG@10 0.612 (0.500–0.700), ms/query 120. slow:"
    )
    assert {"0.612 (0.500–0.700)", "120", "* good"} <= set(texts(root))


def test_a_system_of_unknown_cost_is_listed_in_words_and_not_drawn():
    points = [Point("a", 1.0, 0.4), Point("b", 2.0, 0.5), Point("c", None, 0.9, why="its cost is unknown")]
    root = parsed(pareto(points, "cost $", "nDCG@10"))
    assert len(list(root.iter("{*}circle"))) == 2
    assert {"c", "0.900 (no interval)", "not drawn: its cost is unknown"} <= set(texts(root))


@pytest.mark.parametrize(
    ("xs", "log"),
    [((1.0, 99.0), False), ((1.0, 101.0), True), ((0.0, 1000.0), False), ((1e-9, 1e9), True), ((5.0, 5.0), False)],
)
def test_the_axis_is_logarithmic_beyond_two_decades_and_only_above_0(xs, log):
    root = parsed(pareto([Point(str(x), x, 0.5) for x in xs], "ms", "y"))
    assert ("ms, logarithmic" in texts(root)) is log


@given(st.lists(st.tuples(st.floats(0.1, 1e4), st.floats(0, 1)), min_size=1, max_size=30))
@example([(1.0, 0.0), (1.0, 0.46828881987891224), (1.0, 0.3733380823345929)])
def test_labels_in_the_plot_do_not_cover_each_other_or_a_dot(points):
    root = parsed(pareto([Point(f"system {i}", x, y) for i, (x, y) in enumerate(points)], "x", "y"))
    shown = [t for t in root.iter("{*}text") if float(t.get("y")) <= 214 and (t.text or "").startswith("system")]
    boxes = [(float(t.get("x")), float(t.get("y")) - 10, len(t.text) * 6.3) for t in shown]
    for i, (x, y, wide) in enumerate(boxes):
        assert not any(x < a + w and a < x + wide and y < b + 12 and b < y + 12 for a, b, w in boxes[:i])
        for dot in root.iter("{*}circle"):
            cx, cy = float(dot.get("cx")), float(dot.get("cy"))
            assert not (x < cx + 4 and cx - 4 < x + wide and y < cy + 4 and cy - 4 < y + 12)


@given(st.floats(-1e12, 1e12), st.floats(-1e12, 1e12))
def test_ticks_are_few_even_and_hold_the_range(one, two):
    low, high = min(one, two), max(one, two)
    marks = ticks(low, high)
    slack = 1e-6 * max(abs(low), abs(high), 1e-6)
    assert marks[0] <= low + slack
    assert marks[-1] >= high - slack
    assert 2 <= len(marks) <= 12


@pytest.mark.parametrize(
    ("high", "marks"),
    [
        (1.0, [0, 0.2, 0.4, 0.6, 0.8, 1]),
        (0.43, [0, 0.1, 0.2, 0.3, 0.4, 0.5]),
        (37, [0, 10, 20, 30, 40]),
        (0, [0, 0.2, 0.4, 0.6, 0.8, 1]),
    ],
)
def test_ticks_are_round_numbers(high, marks):
    assert ticks(0, high) == pytest.approx(marks)


def test_a_cell_s_bar_is_in_proportion_and_empty_without_a_rate():
    root = parsed(whisker(Rate(rate=0.5, low=0.25, high=1.0)))
    assert (root.find("{*}circle").get("cx"), root.findtext("{*}title")) == ("60.0", "0.500 (0.250–1.000)")
    assert parsed(whisker(Interval(mean=1, low=None, high=None, n=1))).find("{*}circle").get("cx") == "115.0"
    assert whisker(Rate()) == ""


def test_a_point_of_equal_scores_stands_on_the_diagonal_and_a_gap_below_it():
    equal = Interval(mean=0.5, low=0.4, high=0.6, n=9)
    low = Interval(mean=0.2, low=None, high=None, n=9)
    root = parsed(against([Cross("even", equal, equal), Cross("oblique", equal, low)], "V", "R"))
    diagonal = next(line for line in root.iter("{*}line") if line.get("class") == "frontier")
    x1, y1, x2, y2 = (float(diagonal.get(name)) for name in ("x1", "y1", "x2", "y2"))
    on_line = lambda x: y1 + (x - x1) * (y2 - y1) / (x2 - x1)  # noqa: E731
    even, oblique = [(float(dot.get("cx")), float(dot.get("cy"))) for dot in root.iter("{*}circle")]
    assert even[1] == pytest.approx(on_line(even[0]), abs=0.1)
    assert oblique[1] > on_line(oblique[0])
    assert "oblique: V 0.500 (0.400–0.600), R 0.200 (no interval)" in root.findtext("{*}desc")
    assert len([line for line in root.iter("{*}line") if line.get("class") == "whisker"]) == 3


@pytest.mark.parametrize("name", NAMES)
def test_any_name_of_a_corpus_can_be_drawn_against(name):
    value = Interval(mean=0.5, low=0.4, high=0.6, n=9)
    parsed(against([Cross(name, value, value)], "V", "R"))
