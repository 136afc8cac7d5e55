# Table IV: the network trained on FGSM images; PGD shows what it learned.
source "$(dirname "$0")/common.sh"
fgsm_trained none
fgsm fgsm-none
pgd fgsm-none
grid fgsm-none
moved
judged table4 fgsm-none -- "${METRICS[@]}"
