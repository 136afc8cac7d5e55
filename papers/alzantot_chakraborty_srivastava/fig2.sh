# Figure 2: adversarial sevens, smoothed more and more (S3-F2).
source "$(dirname "$0")/common.sh"
shallow
made sevens.h5 attack --model shallow.safetensors --method fgsm --eps 0.1 "${TEST[@]}" --limit "$(pick 50 100)"
smoothed=()
for sigma in $(pick 1 "1 2 3"); do
  made "sevens_$sigma.h5" defend sevens.h5 --method gaussian --sigma "$sigma"
  smoothed+=("sevens_$sigma.h5")
done
figure fig2 gallery sevens.h5 "${smoothed[@]}" --rows all --where label=7 --images 5
