# Where the zeros of Table I come from: the two-layer network of the authors' kit under its attacks, by accuracy at coverage.
source "$(dirname "$0")/common.sh"
moved
attack spsa kit "$(pick 4 50)" spsa --eps 0.3 --samples "$(pick 8 64)" --steps "$(pick 4 200)"
attack boundary kit "$(pick 4 50)" boundary --steps "$(pick 20 1000)"
judged kit kit -- --eps 4 --metric accuracy --metric selective
