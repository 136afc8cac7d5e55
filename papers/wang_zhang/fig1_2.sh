# Figures 1 and 2: sixes and sevens, and the same after JSMA with what the network says.
source "$(dirname "$0")/common.sh"
jsma
figure fig1 sheet jsma.h5 --of originals --rows all
figure fig2 gallery jsma.h5 --rows successes
