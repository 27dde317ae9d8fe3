"""Step 3 of 5: all that knows the vendor."""
