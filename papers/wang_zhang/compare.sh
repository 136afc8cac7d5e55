# The conclusion: is the integrated model better than its best member? McNemar's test on the same images, attack by attack.
source "$(dirname "$0")/common.sh"
integrated
for one in integrated "${SIX[@]}"; do
  fgsm "$one"
  pgd "$one"
done
judged compare integrated "${SIX[@]}" -- --metric accuracy --compare
