# Transfer within a kind: models of five parts of the training images that share none (Papernot et al.; S2-S2).
source "$(dirname "$0")/common.sh"
for kind in $(pick tree "${KINDS[*]}"); do
  models=() sets=()
  for number in $(pick "1 2" "1 2 3 4 5"); do
    part "$kind" "$number"
    models+=(--model "$kind-$number.safetensors") sets+=("$kind-$number.h5")
  done
  figure "transfer_intra_$kind" transfer "${sets[@]}" "${models[@]}"
done
