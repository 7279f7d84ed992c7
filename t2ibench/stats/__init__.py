"""Statistics on numbers: intervals, paired tests, ranks, Fréchet and kernel distances, retrieval, and the correction of
a judge's errors. No module here opens a file.
"""
