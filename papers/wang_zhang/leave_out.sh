# Future work of the paper: which models does the integrated one need? Each is left out in turn.
source "$(dirname "$0")/common.sh"
integrated
pgd integrated
names=(integrated)
for left in "${SIX[@]:0:$(pick 1 6)}"; do
  others=()
  for one in "${SIX[@]}"; do [ "$one" = "$left" ] || others+=("$one"); done
  stacked "without-$left" 0 usual "${others[@]}"
  attack "pgd-of-without-$left" "without-$left" "$SLOW" pgd --eps 0.3 --steps "$(pick 10 40)"
  names+=("without-$left")
done
judged leave_out "${names[@]}" -- --metric accuracy
