"""The human audit: do people see in generated images what the attribute judge sees? Its errors on real images cannot
say.

`draw` picks images of a finished cell and writes what raters need, `form` is the page they answer on, `answers` reads
what they said, `agreement` holds the judge to it, `board` is where a finished audit lies and what a leaderboard says of
it.
"""
