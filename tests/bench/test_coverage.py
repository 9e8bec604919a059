"""The simulation of coverage: its truths, one small run, and where its table goes."""

from pathlib import Path

import numpy as np
import pytest
from sklearn.metrics import average_precision_score, brier_score_loss, f1_score, matthews_corrcoef, roc_auc_score


@pytest.fixture(autouse=True)
def _importable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(Path(__file__).resolve().parents[2]))


@pytest.mark.parametrize("clips", [1, 6])
def test_the_truths_are_the_scores_of_a_sample_without_end(clips: int) -> None:
    from bench.coverage import Design, Study, decide, sample, truths

    study = Study(Design("?", clips, truth_of_clips=clips > 1), 400_000 // clips, 0.3, 0.85)
    truth, scores, _ = sample(study, np.random.default_rng(0))
    probabilities, decisions = decide(scores, study.auroc)
    found = {
        "auroc": roc_auc_score(truth, scores),
        "sensitivity": decisions[truth].mean(),
        "f1": f1_score(truth, decisions),
        "mcc": matthews_corrcoef(truth, decisions),
        "auprc": average_precision_score(truth, probabilities),
        "brier": brier_score_loss(truth, probabilities),
    }
    expected = truths(study.prevalence, study.auroc)
    assert found == {name: pytest.approx(expected[name], abs=0.004) for name in found}


def test_a_quick_run_covers_and_fills_the_table(tmp_path: Path) -> None:
    from bench.coverage import BEGIN, END, run, table, write_page

    rows = run(is_quick=True)
    shares = [(float(str(row["coverage"])), int(str(row["samples"]))) for row in rows]
    # 60 samples of which 95% are covered: less than 80% happens once in 100,000.
    assert all(coverage >= 0.8 for coverage, n in shares if n >= 20)
    assert 0.9 < np.average([coverage for coverage, _ in shares], weights=[n for _, n in shares]) <= 1
    assert {str(row["score"]) for row in rows} >= {"auroc", "sensitivity", "balanced_accuracy"}
    page = tmp_path / "page.md"
    page.write_text(f"before\n{BEGIN}\nstale\n{END}\nafter\n")
    write_page(rows, page)
    text = page.read_text()
    assert table(rows) in text and "stale" not in text and text.startswith("before\n") and text.endswith("after\n")
    page.write_text("no marks")
    with pytest.raises(ValueError, match="expected the lines"):
        write_page(rows, page)
