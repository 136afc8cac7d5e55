# Figure 6: the average over noisy copies under the images made for the network alone (static), and under attacks through it.
source "$(dirname "$0")/common.sh"
wide
averaged wide
fgsm wide
dgsm wide
through averaged-wide
judged fig6_table averaged-wide -- --metric accuracy --metric confidence
SETS=(dgsm-of-wide.h5 dgsm-of-averaged-wide.h5)
judged fig6_targets averaged-wide -- --metric target-rate
figure fig6 curve fgsm-of-wide.h5 fgsm-of-averaged-wide.h5 pgd-of-averaged-wide.h5 --model averaged-wide.safetensors --show accuracy
