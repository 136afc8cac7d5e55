# The density of reduced features as confidence that an image is natural (Billovits et al.; S2-D3).
source "$(dirname "$0")/common.sh"
net
models=() sets=()
for reduce in $(pick pca "pca ae"); do
  made "kde-$reduce.safetensors" defend --method kde --model net.safetensors --data "$GREY" --reduce "$reduce:0.7"
  attack "pgd-of-kde-$reduce" "kde-$reduce" pgd --eps 0.3 --steps "$(pick 5 20)"
  models+=(--model "kde-$reduce.safetensors") sets+=("pgd-of-kde-$reduce.h5")
done
attack kde-static net fgsm --eps 0.3
table kde kde-static.h5 "${sets[@]}" "${models[@]}" --data "$GREY:test" --metric accuracy --metric success --metric roc
