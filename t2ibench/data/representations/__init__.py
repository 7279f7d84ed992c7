"""Representations of images that need no network: palette, sketch, silhouette, proxy depth, intensity, masked image.

Methods take them as conditions. Metrics extract them again from the generated images and compare.
"""
