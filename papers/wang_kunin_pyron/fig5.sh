# Figure 5: the votes under dropout, of an image and of its adversarial one (S0-F5).
source "$(dirname "$0")/common.sh"
minimal
vote
figure fig5 votes minimal.h5 --model vote.safetensors --rows successes
