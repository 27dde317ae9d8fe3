"""The vendor's API, simulated, over a real socket."""
