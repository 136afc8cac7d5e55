# Section 2.2: norms and values of the perturbations, and their table by source class and target class (S0-S1).
source "$(dirname "$0")/common.sh"
pairs
figure norms norms pairs.h5 --rows successes
figure values values pairs.h5 --rows successes
[ -s "$RESULTS/norms_table.csv" ] || advcli stats pairs.h5 --rows successes --by label,target -o "$RESULTS/norms_table.csv"
