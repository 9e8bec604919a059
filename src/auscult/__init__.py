"""auscult: reproducible training of auscultation classifiers."""

__version__ = "0.1.0"
