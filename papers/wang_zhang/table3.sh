# Table III: what they call feature squeezing in training and test; attacks on the network alone (static) and through the filter (adaptive).
source "$(dirname "$0")/common.sh"
plain squeeze
fgsm plain-squeeze fgsm-beside-squeeze --static
fgsm plain-squeeze
pgd plain-squeeze
grid plain-squeeze
moved
judged table3 plain-squeeze -- "${METRICS[@]}"
