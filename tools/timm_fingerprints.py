"""Write src/auscult/config/timm_fingerprints.txt: what tells timm's architectures apart in a weights file (minutes).

    python tools/timm_fingerprints.py

It is part of moving to another version of timm, with src/auscult/config/timm_models.txt.
"""

from __future__ import annotations

from pathlib import Path

import timm
import torch

from auscult.config.model import timm_names
from auscult.config.timm_fingerprints import fingerprint
from auscult.models.timm_model import MISFITS

LIST = Path(__file__).resolve().parents[1] / "src" / "auscult" / "config" / "timm_fingerprints.txt"


def fingerprint_of(name: str) -> str:
    """Return the fingerprint of an architecture as timm builds it."""
    try:
        with torch.device("meta"):
            model = timm.create_model(name, pretrained=False)
    except MISFITS:
        model = timm.create_model(name, pretrained=False)
    return fingerprint({key: tuple(tensor.shape) for key, tensor in model.state_dict().items()})


def main() -> None:
    """Write the list."""
    lines = [f"{fingerprint_of(name)} {name}" for name in sorted(timm_names())]
    LIST.write_text("\n".join(lines) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
