# A black box attacked through a substitute that learned its decisions on 150 images (Papernot et al.; S2-A5).
source "$(dirname "$0")/common.sh"
net
attack black net substitute --eps 0.3 --fit-data "$GREY:val" --fit-limit "$(pick 30 150)" --rounds "$(pick 2 6)"
attack white net fgsm --eps 0.3
table substitute black.h5 white.h5 --model net.safetensors --model black.substitute.safetensors "${TEST[@]:0:4}" --metric accuracy
