# Table VI: the six models, each under new attacks on itself, and behind every filter under images made for the plain network.
source "$(dirname "$0")/common.sh"
six
for one in "${SIX[@]}"; do
  fgsm "$one"
  pgd "$one"
  grid "$one"
done
judged table6 "${SIX[@]}" -- --metric accuracy
SETS=() filtered=("${SIX[@]}")
plain none
fgsm plain-none
jsma
moved
for filter in gaussian squeeze; do
  for one in "${SIX[@]:0:$(pick 1 6)}"; do
    made "$filter-before-$one.safetensors" defend --method "$filter" --model "$one.safetensors" "--${FILTER[$filter]}"
    filtered+=("$filter-before-$one")
  done
done
judged table6_filters "${filtered[@]}" -- --metric accuracy
