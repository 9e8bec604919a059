"""Everything that draws: one style, colours that colour-blind readers tell apart."""
