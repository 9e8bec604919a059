"""Scores, intervals and operating points: pure functions on arrays. None (NaN inside arrays) stands for undefined."""
