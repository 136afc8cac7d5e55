# Figure 1: the mean adversarial image of every pair of classes; on the diagonal the mean original (S0-F1).
source "$(dirname "$0")/common.sh"
pairs
figure fig1 grid pairs.h5 --rows successes --of images
