# Figure 4: the mean perturbation from one to every other class, beside the difference of the classes (S0-F4).
source "$(dirname "$0")/common.sh"
pairs
figure fig4 mean-perturbation pairs.h5 --rows successes --where label=1
