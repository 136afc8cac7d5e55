# Introduction: FGSM makes softmax regression wrong on 99.9 % of the images that it had right, at a budget of 0.25 (S3-K1).
source "$(dirname "$0")/common.sh"
made softmax.safetensors train --data "$GREY" --arch softmax --epochs "$(pick 20 4)"
made softmax.h5 attack --model softmax.safetensors --method fgsm --eps 0.25 "${TEST[@]}" --limit "$(pick 100 10000)"
table softmax softmax.h5 --model softmax.safetensors --metric success
