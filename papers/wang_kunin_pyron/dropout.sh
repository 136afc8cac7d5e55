# Section 3.2 has no table: votes under dropout on clean images, and on adversarial ones that barely reach their target, that go
# far beyond, and that were made through the votes; then what the entropy of the votes tells (S0-D1, S0-D1b).
source "$(dirname "$0")/common.sh"
minimal
confident
vote
advcli attack --model vote.safetensors --eot 1 --method grad --rate 0.1 "${TEST[@]}" --target random \
  --per-class "$(pick 1 10)" --steps "$(pick 20 60)" --no-early-stop -o eot.h5
advcli defend --model base.safetensors --method dropout-detector --passes "$(pick 20 50)" -o entropy.safetensors
SETS=(minimal.h5 confident.h5 eot.h5)
table dropout_clean --data "$GREY:test" --limit "$(pick 100 1000)" --model base.safetensors --model vote.safetensors --metric accuracy
table dropout "${SETS[@]}" --model base.safetensors --model vote.safetensors --metric accuracy --metric target-rate
table dropout_entropy "${SETS[@]}" --model entropy.safetensors --metric roc
figure dropout_confident votes confident.h5 --model vote.safetensors --rows successes
