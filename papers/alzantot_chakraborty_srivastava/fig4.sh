# Figure 4: success of FGSM without smoothing and with it; beside them FGSM through the smoothing, `aware` of it (S3-F4).
source "$(dirname "$0")/common.sh"
fgsm
behind gaussian 1
made aware.h5 attack --model gaussian_1.safetensors "${FGSM[@]}"
figure fig4 curve fgsm.h5 aware.h5 --model shallow.safetensors --model gaussian_1.safetensors --show success
