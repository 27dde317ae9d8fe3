"""Step 1 of 5: one module a file format; each turns its files into a `grid`. Only `reader` uses them."""
