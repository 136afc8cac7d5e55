"""What the results of Wang, Kunin and Pyron's scripts show."""

from papers.results import Results, Seen, shows


@shows("S0-S1", by="norms", paper="a class that keeps perturbations and shows norms, values, means, deviations and extremes")
def norms(results: Results) -> Seen:
    successes = sum(int(one["count"]) for one in results.lines("norms", of="l2 norms"))
    return Seen("reproduced", f"norms and values of {successes} successful perturbations")
