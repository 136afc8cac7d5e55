# Figures 1, 2 and 8: an FGSM image, an image under noise within 0.3, and a DGSM image of the network trained on such images.
source "$(dirname "$0")/common.sh"
wide
fgsm wide
attack noise wide 10 noise --eps 0.3
trained fgsm
attack small-of-on-fgsm on-fgsm "$(pick 20 100)" dgsm --target "$TARGET" --eps 0.02 --steps 40
figure fig1 triptych fgsm-of-wide.h5 --where epsilon=0.025 --rows all
figure fig2 triptych noise.h5 --rows all
figure fig8 triptych small-of-on-fgsm.h5 --rows all
