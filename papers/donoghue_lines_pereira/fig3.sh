# Figure 3: accuracy and confidence against the budget of FGSM, with PGD at the same budgets beside it; then the second network.
source "$(dirname "$0")/common.sh"
wide
fgsm wide
pgd wide
judged fig3_table wide -- --metric accuracy --metric confidence
figure fig3 curve fgsm-of-wide.h5 pgd-of-wide.h5 --model wide.safetensors --show accuracy
figure fig3_confidence confidence fgsm-of-wide.h5 --model wide.safetensors
SETS=()
googlenet
fgsm googlenet
pgd googlenet
judged fig3_googlenet googlenet -- --metric accuracy
