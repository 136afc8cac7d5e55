# Training on a mixture of clean and FGSM loss, and weight decay beside it (S2-T1, S2-T2).
source "$(dirname "$0")/common.sh"
net
made mixed.safetensors train --data "$GREY" --arch cnn --epochs "$(pick 10 4)" --recipe adversarial --against fgsm:eps=0.25 --alpha 0.5
for decay in 0 $(pick "" 0.01) 0.1; do
  made "decay-$decay.safetensors" train --data "$GREY" --arch cnn --epochs "$(pick 5 3)" --optimizer adamw --weight-decay "$decay"
done
models=() sets=()
for name in net mixed; do
  attack "fgsm-of-$name" "$name" fgsm --eps 0.25
  attack "pgd-of-$name" "$name" pgd --eps 0.25 --steps "$(pick 10 40)"
  models+=(--model "$name.safetensors") sets+=("fgsm-of-$name.h5" "pgd-of-$name.h5")
done
table advtrain "${sets[@]}" "${models[@]}" --data "$GREY:test" --metric accuracy
models=() sets=()
for decay in 0 $(pick "" 0.01) 0.1; do
  attack "fgsm-of-decay-$decay" "decay-$decay" fgsm --eps 0.1
  models+=(--model "decay-$decay.safetensors") sets+=("fgsm-of-decay-$decay.h5")
done
table decay "${sets[@]}" "${models[@]}" --metric accuracy
