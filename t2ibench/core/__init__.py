"""Errors, seeds, files, records, settings and the look-up of plug-ins.

Every other room builds on this one. It imports no other room.
"""
