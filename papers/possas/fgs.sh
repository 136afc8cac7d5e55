# Section 3.1: one step along the signs of the gradient, and what the loss does on the way (S2-A1, S2-K2).
source "$(dirname "$0")/common.sh"
net
made softmax.safetensors train --data "$GREY" --arch softmax --epochs "$(pick 20 8)"
attack fgs-softmax softmax fgsm --eps 0.25
attack fgs-net net fgsm --eps 0.25
table fgs fgs-softmax.h5 fgs-net.h5 --model softmax.safetensors --model net.safetensors --metric accuracy
figure fgs_confidence confidence fgs-softmax.h5 fgs-net.h5 --model softmax.safetensors --model net.safetensors --among successes
figure fgs_linearity linearity fgs-softmax.h5 --model softmax.safetensors --reach 0.01 --steps 10 --ways "$(pick 20 200)" --rows all
