"""The leaderboard as a folder of static pages, which opens from disk without a network.

The pages are complete without JavaScript. With it, tables sort and filter, methods are compared, and samples are looked
at; what a page shows is in the hash of its address. No page holds an inline script, and a Content-Security-Policy
forbids it.
"""
