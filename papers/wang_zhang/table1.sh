# Table I: the network without any defense under the attacks; PGD stands beside FGSM.
source "$(dirname "$0")/common.sh"
plain none
fgsm plain-none
pgd plain-none
grid plain-none
jsma
moved
judged table1 plain-none -- "${METRICS[@]}"
