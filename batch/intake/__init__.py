"""Step 1 of 5: a spreadsheet becomes requests."""
