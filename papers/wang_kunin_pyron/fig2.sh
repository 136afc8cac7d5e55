# Figure 2: forward error, backward error and sensitivity, of the network and of one trained on adversarial images (S0-F2).
source "$(dirname "$0")/common.sh"
minimal
advcli train --data "$GREY" --weights base.safetensors --recipe adversarial --against "pgd:eps=0.1,steps=$(pick 2 5)" \
  --epochs "$(pick 4 2)" -o robust.safetensors
advcli attack --model robust.safetensors "${TOWARDS[@]}" --steps "$(pick 60 200)" -o robust.h5
figure fig2 sensitivity minimal.h5 --model base.safetensors --rows successes
figure fig2_robust sensitivity robust.h5 --model robust.safetensors --rows successes
