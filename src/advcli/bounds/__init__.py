"""Certificates: lower bounds on a network's margin that hold for every image of a ball, rounding included."""
