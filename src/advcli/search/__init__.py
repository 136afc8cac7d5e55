"""What attacks are made of: the victim, the goal, the best point so far, walks along the boundary."""
