# Section 2.2: norms and values of the perturbations, by source class and target class (S0-S1).
source "$(dirname "$0")/common.sh"
pairs
figure norms histograms pairs.h5 --rows successes
