"""Tables of runs: which runs make which figure, what they cost, and how they are made."""
