# Figure 7: the network trained again on FGSM, and on DGSM towards random classes; new attacks against each, and McNemar's test.
source "$(dirname "$0")/common.sh"
trained fgsm
trained dgsm
for one in wide on-fgsm on-dgsm; do
  fgsm "$one"
  pgd "$one"
done
judged fig7_table wide on-fgsm on-dgsm -- --metric accuracy --compare
SETS=()
for one in on-fgsm on-dgsm; do dgsm "$one"; done
judged fig7_targets on-fgsm on-dgsm -- --metric target-rate
figure fig7 curve fgsm-of-wide.h5 fgsm-of-on-fgsm.h5 --model wide.safetensors --model on-fgsm.safetensors --show accuracy
