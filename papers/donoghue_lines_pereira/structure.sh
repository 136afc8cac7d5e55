# Figure 8's claim: perturbations of the network trained on adversarial images follow the picture; measured on many, before and after.
source "$(dirname "$0")/common.sh"
trained fgsm
for one in wide on-fgsm; do
  attack "small-of-$one" "$one" "$(pick 20 100)" dgsm --target "$TARGET" --eps 0.02 --steps 40
done
figure structure structure "${SETS[@]}" --rows all
