"""The metrics layer: what a metric may look at, what several metrics share, and the call of every metric."""
