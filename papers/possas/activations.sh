# Figures 4 and 5: activations by layer, clean against adversarial, and an image with its amplified perturbation (S2-F2).
source "$(dirname "$0")/common.sh"
net
made paths.h5 attack --model net.safetensors --data "$GREY:test" --limit "$(pick 20 200)" --method fgsm --eps 0.1
figure fig4 activations paths.h5 --model net.safetensors
figure fig5 triptych paths.h5
