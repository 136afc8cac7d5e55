"""The building blocks of attacks: the victim, the goal, the best point so far, steps along the boundary."""
