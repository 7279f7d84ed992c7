"""The human audit: do people see in generated images what the attribute judge sees in them?

The errors of the judge on real images cannot answer this. `draw` picks images of a finished cell, `form` writes the
page for raters, `answers` reads their answers, and `agreement` compares the judge with them.
"""
