"""Step 4 of 5: requests become outcomes."""
