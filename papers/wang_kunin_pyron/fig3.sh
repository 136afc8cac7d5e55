# Figure 3: pixels of ones before, and after they were moved to two (S0-F3).
source "$(dirname "$0")/common.sh"
pairs
figure fig3 pixels pairs.h5 --rows successes --where label=1,target=2
