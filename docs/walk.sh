advcli train                                  # embedded digits, small cnn  -> model.safetensors
advcli attack --method fgsm --eps 0.3         # -> adversarial.h5 and perturbations.h5
advcli defend --method squeeze --bits 1       # -> defended.safetensors
advcli evaluate                               # clean and adversarial, plain and defended
advcli stats perturbations.h5                 # norms, table, histograms
advcli evaluate --model "$(advcli defend --method squeeze)" "$(advcli attack --method pgd)"
