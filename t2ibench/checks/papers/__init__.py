"""What papers claim, tested on records: claims, the runs they need, and the ledger of verdicts."""
