# Table II: Gaussian blur in training and test; attacks on the network alone (static) and through the filter (adaptive).
source "$(dirname "$0")/common.sh"
plain gaussian
fgsm plain-gaussian fgsm-beside-gaussian --static
fgsm plain-gaussian
pgd plain-gaussian
grid plain-gaussian
moved
judged table2 plain-gaussian -- "${METRICS[@]}"
