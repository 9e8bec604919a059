"""The published result of an experiment: its folder and `report.html`. Never imports torch, so that it starts fast."""
