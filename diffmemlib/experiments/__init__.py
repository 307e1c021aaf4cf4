"""What one run of each experiment does: its settings by tier, what is trained, what is measured at a milestone.

May import `runs`, `data` and what lies below.
"""
