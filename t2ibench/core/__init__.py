"""Errors, seeds, files, records, settings and the look-up of plug-ins: what every other room stands on. It imports no
other room.
"""
