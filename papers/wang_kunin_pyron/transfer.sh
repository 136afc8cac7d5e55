# Section 1.1: adversarial images of one network on another one of another architecture (S0-K1).
source "$(dirname "$0")/common.sh"
minimal
advcli train --data "$GREY" --arch mlp --epochs "$(pick 12 4)" -o other.safetensors
advcli attack --model base.safetensors --method fgsm --eps 0.3 "${TEST[@]}" --limit "$(pick 60 500)" -o fgsm.h5
table transfer fgsm.h5 minimal.h5 --model base.safetensors --model other.safetensors --metric transfer
