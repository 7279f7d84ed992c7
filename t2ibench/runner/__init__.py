"""From the file of a suite to records: the plan, the images, the journal of every sample, and the scores."""
