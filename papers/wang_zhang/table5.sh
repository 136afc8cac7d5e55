# Table V: what is called black-box defending there is the attacker's substitute; an honest form is training again on its images.
source "$(dirname "$0")/common.sh"
retrained none
black_box transferred plain-none test 1
black_box transferred-again black-box-none test 7
fgsm transferred.substitute fgsm-of-substitute
fgsm plain-none
fgsm black-box-none
moved
SETS+=(transferred.h5 transferred-again.h5)
judged table5 transferred.substitute plain-none black-box-none -- "${METRICS[@]}"
