# Section II.C: the size of the noise, chosen on validation images by clean accuracy and FGSM through the average, reported on test images.
source "$(dirname "$0")/common.sh"
wide
for split in val test; do
  names=() SETS=()
  for size in $(pick "0.1 0.3" "0.02 0.05 0.1 0.2 0.3"); do
    made "size-$size.safetensors" defend --method average --model wide.safetensors --samples "$(pick 5 10)" --eps-max "$size"
    made "$split-of-$size.h5" attack --model "size-$size.safetensors" --data "$COLOUR:$split" --limit "$(pick 10 100)" --method fgsm \
      --eps 0.01 --eot "$(pick 1 4)" --no-perturbations
    names+=(--model "size-$size.safetensors") SETS+=("$split-of-$size.h5")
  done
  table "eps_max_$split" "${names[@]}" --data "$COLOUR:$split" --limit "$(pick 10 100)" "${SETS[@]}" --metric accuracy
done
