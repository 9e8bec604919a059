"""Figures that evaluation and reporting share: one style, one size, colours that colour-blind readers tell apart."""
