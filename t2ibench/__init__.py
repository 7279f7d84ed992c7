"""t2ibench: one protocol for text-to-image methods, and an honest leaderboard."""

__version__ = "0.1.0"
