"""Step 5 of 5: the ledger becomes a reconciliation."""
