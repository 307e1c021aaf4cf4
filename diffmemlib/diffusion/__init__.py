"""Forward process, losses and samplers of any network that predicts noise.

May import `nets` and what lies below.
"""
