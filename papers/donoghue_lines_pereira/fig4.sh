# Figure 4: fifty images under FGSM at 0.025, with what the network says.
source "$(dirname "$0")/common.sh"
wide
attack fifty wide 50 fgsm --eps 0.025
figure fig4 sheet fifty.h5 --rows all
judged fig4_table wide -- --metric accuracy
