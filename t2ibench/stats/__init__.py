"""Numbers, no files: intervals, paired tests, ranks, Fréchet and kernel distances, retrieval, and the errors of a judge
undone.
"""
