"""Draw `docs/architecture-light.svg` and `-dark.svg`: what flows from rule to rule, and which package may import which.

Run it after a change of `FLOW` or `LAYERS`: `python tools/docs/architecture.py`. Tests hold the pictures to this file,
and the names in it to `src/auscult` and to the layers that `pyproject.toml` enforces.
"""

from __future__ import annotations

from dataclasses import dataclass
from html import escape
from pathlib import Path

DOCS = Path(__file__).resolve().parents[2] / "docs"

# What lies on disk, at (column, row) of a grid: name, what it is.
FLOW = {
    "Recordings": (0, 0, "audio, pinned by DVC"),
    "Tables": (1, 0, "who, what, where, when"),
    "Clips": (2, 0, "cut, resampled"),
    "Split": (1, 1, "patients, audited"),
    "Spectrograms": (2, 1, "log-mel"),
    "Model": (2, 2, "weights and model.json"),
    "Predictions": (1, 2, "scores with intervals"),
    "Results": (0, 2, "report.html, numbers"),
    "MLflow": (0, 1, "runs side by side"),
}

# From top to bottom and from left to right: a package imports what stands below it or to its right, nothing else.
LAYERS = {
    "Commands, without logic": {"cli": "auscult ..."},
    "On runs and finished results": {
        "inference": "predict, embed",
        "ops": "doctor, explain",
        "run_events": "to a message bus",
    },
    "Stages on a trained model": {
        "evaluation": "outcomes, slices",
        "reports": "pages, texts",
        "tracking": "MLflow",
    },
    "The stage that learns, and what draws": {
        "training": "loop, checkpoint",
        "plots": "every figure",
    },
    "From raw files to what a training reads": {
        "datasets": "readers, ingest",
        "splits": "patients, audit",
        "augment": "steps, mixing",
        "models": "registry, weights",
    },
    "The field's building blocks": {
        "metrics": "scores, intervals",
        "images": "decode, fit",
        "spectrograms": "log-mel, stored",
        "audio": "decode, cut",
        "labels": "what is unknown",
        "formatting": "numbers in words",
    },
    "Ground": {"config": "what YAML may say", "storage": "files, tables, HDF5"},
}
APART = ("tools/auscult_simulate", "the demo's sounds")


@dataclass(frozen=True)
class Colours:
    """The colours of one picture, on the reader's own background."""

    text: str
    faint: str
    line: str
    box: str
    edge: str
    accent: str
    accent_text: str
    layer: str


COLOURS = {
    "light": Colours("#1c2b2a", "#5b6b6a", "#7d8f8d", "#ffffff", "#b5c4c2", "#00796b", "#00695c", "#eef5f4"),
    "dark": Colours("#e8efee", "#a3b3b1", "#7f918f", "#243130", "#4b5f5d", "#4db6ac", "#80cbc4", "#1a2625"),
}

WIDTH, MARGIN = 760, 20
BOX_W, BOX_H, GAP_X, GAP_Y, FLOW_TOP = 168, 60, 108, 62, 66
CHIP_H, CHIP_GAP, INSET, LAYER_H, LAYER_GAP = 48, 10, 14, 88, 8
LAYERS_TOP = FLOW_TOP + 3 * BOX_H + 2 * GAP_Y + 78
HEIGHT = LAYERS_TOP + len(LAYERS) * (LAYER_H + LAYER_GAP) + 12

SANS = "system-ui, -apple-system, 'Segoe UI', Roboto, 'DejaVu Sans', sans-serif"
MONO = "ui-monospace, SFMono-Regular, Menlo, Consolas, 'DejaVu Sans Mono', monospace"


def picture(colours: Colours) -> str:
    """The whole picture as SVG."""
    parts = [*_heads(), *_arrows(), *_boxes(), *_layers()]
    label = "What flows from rule to rule, from recordings to a report, and the packages in their layers"
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-label="{label}">\n'
        f"<style>{_style(colours)}</style>\n"
        '<defs><marker id="tip" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="7" markerHeight="7" orient="auto">'
        f'<path d="M0 0 8 4 0 8z" fill="{colours.accent}"/></marker></defs>\n' + "\n".join(parts) + "\n</svg>\n"
    )


def _style(c: Colours) -> str:
    return (
        f"text{{font-family:{SANS};fill:{c.text}}} .mono{{font-family:{MONO}}} .head{{font-size:19px;font-weight:600}} "
        f".name{{font-size:15px;font-weight:600}} .pkg{{font-family:{MONO};font-size:14px;font-weight:600}} "
        f".small{{font-size:12.5px;fill:{c.faint}}} .rule{{font-family:{MONO};font-size:13px;fill:{c.accent_text}}} "
        f".box{{fill:{c.box};stroke:{c.edge};stroke-width:1.2}} .layer{{fill:{c.layer}}} "
        f".arrow{{fill:none;stroke:{c.accent};stroke-width:1.8;marker-end:url(#tip)}} "
        f".plain{{fill:none;stroke:{c.accent};stroke-width:1.8}} .apart{{stroke-dasharray:4 3}}"
    )


def _text(x: float, y: float, text: str, style: str, anchor: str = "middle") -> str:
    return f'<text x="{x:g}" y="{y:g}" class="{style}" text-anchor="{anchor}">{escape(text)}</text>'


def _heads() -> list[str]:
    return [
        _text(MARGIN, 28, "What runs", "head", "start"),
        _text(MARGIN, 48, "Each arrow is a rule of Snakemake, with a script of the same name.", "small", "start"),
        _text(MARGIN, LAYERS_TOP - 36, "What it is built of", "head", "start"),
        _text(
            MARGIN,
            LAYERS_TOP - 16,
            "Packages of auscult. Imports go down or to the right, never back.",
            "small",
            "start",
        ),
    ]


def _corner(name: str) -> tuple[float, float]:
    column, row, _ = FLOW[name]
    return MARGIN + column * (BOX_W + GAP_X), FLOW_TOP + row * (BOX_H + GAP_Y)


def _boxes() -> list[str]:
    parts: list[str] = []
    for name, (_, _, what) in FLOW.items():
        x, y = _corner(name)
        parts.append(f'<rect x="{x:g}" y="{y:g}" width="{BOX_W}" height="{BOX_H}" rx="9" class="box"/>')
        parts += [_text(x + BOX_W / 2, y + 26, name, "name"), _text(x + BOX_W / 2, y + 45, what, "small")]
    return parts


def _arrows() -> list[str]:
    return [
        *_across("Recordings", "Tables", "ingest"),
        *_across("Tables", "Clips", "cut_clips"),
        *_down("Tables", "Split", "make_split"),
        *_down("Clips", "Spectrograms", "make_spectrograms"),
        *_down("Spectrograms", "Model", "train"),
        *_across("Model", "Predictions", "evaluate"),
        *_across("Predictions", "Results", "publish"),
        *_split_into_training(),
        *_predictions_into_mlflow(),
    ]


def _across(start: str, end: str, rule: str) -> list[str]:
    (x0, y0), (x1, _) = _corner(start), _corner(end)
    y = y0 + BOX_H / 2
    left, right = (x0 + BOX_W, x1 - 3) if x1 > x0 else (x0, x1 + BOX_W + 3)
    return [f'<path d="M{left:g} {y:g}H{right:g}" class="arrow"/>', _text((left + right) / 2, y - 8, rule, "rule")]


def _down(start: str, end: str, rule: str) -> list[str]:
    (x0, y0), (_, y1) = _corner(start), _corner(end)
    x = x0 + BOX_W / 2
    return [
        f'<path d="M{x:g} {y0 + BOX_H:g}V{y1 - 3:g}" class="arrow"/>',
        _text(x - 10, (y0 + BOX_H + y1) / 2 + 4, rule, "rule", "end"),
    ]


def _split_into_training() -> list[str]:
    (x0, y0), (x1, y1) = _corner("Split"), _corner("Model")
    bend, joint = x0 + BOX_W + GAP_X / 2, y1 - GAP_Y / 2 + 14
    return [f'<path d="M{x0 + BOX_W:g} {y0 + BOX_H / 2:g}H{bend:g}V{joint:g}H{x1 + BOX_W / 2:g}" class="plain"/>']


def _predictions_into_mlflow() -> list[str]:
    (x0, y0), (x1, y1) = _corner("Predictions"), _corner("MLflow")
    start, end, level = x0 + 30, x1 + BOX_W / 2, y0 - GAP_Y / 2
    return [
        f'<path d="M{start:g} {y0:g}V{level:g}H{end:g}V{y1 + BOX_H + 3:g}" class="arrow"/>',
        _text((x0 + x1 + BOX_W) / 2, level - 8, "track", "rule"),
    ]


def _layers() -> list[str]:
    parts: list[str] = []
    for place, (caption, packages) in enumerate(LAYERS.items()):
        y, width = LAYERS_TOP + place * (LAYER_H + LAYER_GAP), WIDTH - 2 * MARGIN
        parts.append(f'<rect x="{MARGIN}" y="{y:g}" width="{width}" height="{LAYER_H}" rx="10" class="layer"/>')
        parts.append(_text(MARGIN + INSET, y + 20, caption, "small", "start"))
        parts += _row(y + 29, packages | ({APART[0]: APART[1]} if place == 0 else {}))
    return parts


def _row(y: float, packages: dict[str, str]) -> list[str]:
    """Packages beside each other, over the whole width of their layer."""
    step = (WIDTH - 2 * MARGIN - 2 * INSET + CHIP_GAP) / len(packages)
    chips = [_chip(MARGIN + INSET + i * step, y, step - CHIP_GAP, name) for i, name in enumerate(packages.items())]
    return [part for chip in chips for part in chip]


def _chip(x: float, y: float, width: float, package: tuple[str, str]) -> list[str]:
    style = "box apart" if package == APART else "box"
    return [
        f'<rect x="{x:g}" y="{y:g}" width="{width:g}" height="{CHIP_H}" rx="8" class="{style}"/>',
        _text(x + width / 2, y + 21, package[0], "pkg"),
        _text(x + width / 2, y + 38, package[1], "small"),
    ]


def main() -> None:
    """Write both pictures."""
    for name, colours in COLOURS.items():
        (DOCS / f"architecture-{name}.svg").write_text(picture(colours), encoding="utf-8")


if __name__ == "__main__":
    main()
