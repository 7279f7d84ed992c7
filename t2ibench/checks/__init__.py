"""What holds the rest to account: drift, human audits, claims of papers, and the state of a machine."""
