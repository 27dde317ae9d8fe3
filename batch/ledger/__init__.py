"""Step 2 of 5: the durable record of a run; the single source of truth."""
