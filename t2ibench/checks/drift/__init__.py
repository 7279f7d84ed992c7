"""Drift: do the same inputs still give the same numbers? Three tiers against a baseline file.

T0: pictures read and resized, estimators and whole metrics on frozen images. T1: features of frozen images. T2:
methods, drawing again. `golden` holds what is frozen, `probes` what is measured, `baseline` the file, `gate` the rules
of T0 and T1, `methods` those of T2, `culprit` who may have done it, `reports` how it is said; `pytest_plugin` makes
each check a test.
"""
