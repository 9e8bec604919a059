import pytest

from auscult.plots.flow import MAX_REASONS, draw_flow
from auscult.plots.style import save

REASONS = [
    "missing",
    "empty",
    "truncated",
    "not finite",
    "patient",
    "duplicate id",
    "contradiction",
    "name",
    "path",
    "x" * 60,
]


def flow(n_reasons: int, n_left_out: int = 1, unknown: int = 0) -> list[dict]:
    """The rows of one dataset; reason k loses k + 1 recordings."""
    names = [REASONS[k] if k < len(REASONS) else f"reason {k}" for k in range(n_reasons)]
    lost = [("lost", name, k + 1) for k, name in enumerate(names)]
    left = [("left_out", f"left {k}", 3) for k in range(n_left_out)]
    n_lost, n_left = sum(n for *_, n in lost), sum(n for *_, n in left)
    steps = [("found", "", 1000 + n_lost), *lost, ("read", "", 1000), *left, ("used", "", 1000 - n_left)]
    steps += [("train", "", 700), ("val", "", 100), ("test", "", 200 - n_left)]
    return [
        {
            "dataset": "set",
            "step": step,
            "reason": why,
            "recordings": n,
            "patients": n // 2,
            "patients_unknown": unknown,
        }
        for step, why, n in steps
    ]


def words(figure) -> list[str]:
    return [text.get_text() for text in figure.axes[0].texts if text.get_text()]


@pytest.mark.parametrize("n_reasons", [0, 1, 10, 30])
def test_the_diagram_names_every_step_and_the_most_frequent_reasons(n_reasons, tmp_path):
    figure = draw_flow(flow(n_reasons))
    shown = words(figure)
    assert {"Found", "Read", "Used", "Training", "Validation", "Test", "1,000 recordings"} <= set(shown)
    assert ("Lost: 55 recordings" in shown) == (n_reasons == 10)
    if n_reasons > MAX_REASONS:
        assert any(text.endswith(f"for {n_reasons - MAX_REASONS + 1} further reasons") for text in shown)
    save(figure, tmp_path / "flow.png")
    assert (tmp_path / "flow.png").stat().st_size > 5000


def test_texts_stay_in_their_boxes_and_boxes_apart():
    figure = draw_flow(flow(10, 4, unknown=1_234))
    figure.canvas.draw()
    boxes = [patch.get_window_extent() for patch in figure.axes[0].patches if patch.get_width() > 0.5]
    for text in figure.axes[0].texts:
        if text.get_text():
            x0, y0, x1, y1 = text.get_window_extent().extents
            assert any(b.x0 <= x0 and x1 <= b.x1 and b.y0 <= y0 and y1 <= b.y1 for b in boxes), text.get_text()
    for k, one in enumerate(boxes):
        assert not any(one.overlaps(other) for other in boxes[k + 1 :])


def test_one_straight_line_leads_from_the_first_box_to_the_training():
    axes = draw_flow(flow(0)).axes[0]
    lefts = {text.get_text(): text.get_position()[0] for text in axes.texts if text.get_text()}
    assert lefts["Found"] == lefts["Used"] == lefts["Training"] < lefts["Validation"] < lefts["Test"]
    tips = {round(arrow.xy[0], 6) for arrow in axes.texts if not arrow.get_text() and arrow.xy[0] == arrow.xyann[0]}
    assert len(tips) == 3


def test_datasets_are_summed():
    rows = flow(1) + [{**row, "dataset": "other"} for row in flow(1)]
    assert "Lost: 2 recordings" in words(draw_flow(rows))
    assert "2,000 recordings" in words(draw_flow(rows))
