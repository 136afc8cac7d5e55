# Section 3.1: whether mean discrepancy tells attacked images from clean ones, and two clean samples from each other (S0-K2).
source "$(dirname "$0")/common.sh"
base
advcli attack --model base.safetensors --method fgsm --eps 0,0.1 "${TEST[@]}" --limit 250 -o mmd.h5
figure mmd mmd mmd.h5 --rows all --sample 100 --permutations "$(pick 200 1000)"
