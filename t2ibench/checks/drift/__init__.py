"""Drift: do the same inputs still give the same numbers? Three tiers against a baseline file.

- T0 reads and resizes pictures, and computes estimators and whole metrics on frozen images.
- T1 computes features of frozen images.
- T2 lets methods draw again.

`golden` holds the frozen images, `probes` lists what is measured, and `baseline` reads and writes the file. `gate` has
the rules of T0 and T1, `methods` those of T2. `culprit` finds what may have caused a drift, and `reports` writes the
result for people and programs. `pytest_plugin` makes each check a test.
"""
