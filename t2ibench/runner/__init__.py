"""From the file of a suite to records: what is asked for, who makes it, what became of every sample, and what is
scored.
"""
