"""Checks of everything else: drift of numbers, human audits, the claims of papers, and the state of a machine."""
