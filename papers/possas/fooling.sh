# Pictures of nothing that a network is sure of: by gradient ascent, evolution of pixels, and evolution of networks (S2-F1, S2-A2).
source "$(dirname "$0")/common.sh"
net
made fool-gradient.h5 attack --model net.safetensors --method fool-gradient
table fooling_gradient fool-gradient.h5 --model net.safetensors --metric success --metric confidence
figure fooling_gradient_pictures fooling fool-gradient.h5 --rows all
for encoding in direct cppn; do
  made "fool-$encoding.h5" attack --model net.safetensors --method fool-evolve --encoding "$encoding" --generations "$(pick 5 200)"
  figure "fooling_$encoding" fooling "fool-$encoding.h5" --rows all
done
