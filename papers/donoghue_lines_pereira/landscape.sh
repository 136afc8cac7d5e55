# The notebooks' plots of flat minima: the loss within 0.1 of images, over the gradient's signs and random ones, before and after training.
source "$(dirname "$0")/common.sh"
trained fgsm
attack once wide "$COUNT" fgsm --eps 0.025
figure landscape_wide landscape once.h5 --model wide.safetensors --panels "$(pick 3 20)" --steps "$(pick 2 10)" --rows all
figure landscape_trained landscape once.h5 --model on-fgsm.safetensors --panels "$(pick 3 20)" --steps "$(pick 2 10)" --rows all
