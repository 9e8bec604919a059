"""auscult: reproducible training of auscultation classifiers."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from auscult.inference import LoadedModel, load_model

__version__ = "0.1.0"
__all__ = ["LoadedModel", "__version__", "load_model"]


def __getattr__(name: str) -> Any:
    # Only who asks for a model pays for torch: `import auscult` stays quick.
    if name in {"LoadedModel", "load_model"}:
        from auscult import inference  # noqa: PLC0415

        return getattr(inference, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
