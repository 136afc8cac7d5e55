# Figures 3 and 4: the parts of the integrated model, read from the model itself.
source "$(dirname "$0")/common.sh"
integrated
figure fig3_4 describe --model integrated.safetensors
