# Figure 1: accuracy of the shallow network against the budget of FGSM (S3-F1).
source "$(dirname "$0")/common.sh"
fgsm
figure fig1 curve fgsm.h5 --model shallow.safetensors --show accuracy
