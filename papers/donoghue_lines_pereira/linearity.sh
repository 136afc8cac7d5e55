# Section II.A: is the network linear on the way from an image along the gradient's signs, as far as 0.02?
source "$(dirname "$0")/common.sh"
wide
attack once wide "$COUNT" fgsm --eps 0.025
figure linearity linearity once.h5 --model wide.safetensors --reach 0.02 --ways "$COUNT" --rows all
