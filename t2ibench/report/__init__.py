"""Turns records into what people read: leaderboards, comparisons, sheets of images and one HTML page."""
