"""Representations of images that need no network: palette, sketch, silhouette, proxy depth, intensity, masked image.

Methods are conditioned on them, and metrics extract them again from what was made and compare.
"""
