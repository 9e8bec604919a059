"""Everything that people read: pages, text, terminal. Never imports torch, so that it starts fast."""
