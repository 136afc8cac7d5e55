# Table VII: the integrated model, with each filter before it, and the majority vote; FGSM and PGD go through the whole.
source "$(dirname "$0")/common.sh"
integrated
together vote vote "${SIX[@]}" --
fgsm integrated
pgd integrated
pgd vote
for filter in gaussian squeeze; do
  made "$filter-before-integrated.safetensors" defend --method "$filter" --model integrated.safetensors "--${FILTER[$filter]}"
  fgsm "$filter-before-integrated"
done
moved
judged table7 integrated gaussian-before-integrated squeeze-before-integrated vote -- "${METRICS[@]}"
