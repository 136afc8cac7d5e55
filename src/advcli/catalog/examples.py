"""Examples for the help of every verb."""

EXAMPLES: dict[str, tuple[str, ...]] = {
    "train": (
        "advcli train --data mnist --arch lenet-pool --download",
        "advcli train --data photos --image-size 32 --arch resnet18 --epochs 10",
        "advcli train --recipe adversarial --against pgd:eps=0.1,steps=7 -o robust.safetensors",
    ),
    "attack": (
        "advcli attack --method pgd --eps 8/255 --model model.safetensors --data photos",
        "advcli attack --method square --eps 0.1 --max-queries 1000 -o square.h5",
        "advcli attack --method fgsm --eps 0:0.3:0.05 --limit 200",
    ),
    "defend": (
        "advcli defend --method squeeze --bits 4",
        "advcli defend --method smoothing --sigma 0.25 --model model.safetensors -o smooth.safetensors",
        "advcli defend adversarial.h5 --method jpeg",
    ),
    "evaluate": (
        "advcli evaluate adversarial.h5 --model model.safetensors --model defended.safetensors",
        "advcli evaluate --data photos -o table.md",
        "advcli evaluate adversarial.h5 --fail-under robust_accuracy=0.45 --strict",
    ),
    "audit": (
        "advcli audit --eps 8/255 --model model.safetensors --data photos",
        "advcli audit --eps 0.1 --effort quick",
    ),
    "stats": ("advcli stats perturbations.h5", "advcli stats adversarial.h5 --by label -o table.csv"),
    "show": ("advcli show adversarial.h5 model.safetensors",),
    "verify": ("advcli verify adversarial.h5 --model model.safetensors",),
    "import": (
        "advcli import weights.pth --arch resnet18 --mean 0.49,0.48,0.45 --std 0.25,0.24,0.26 --data photos",
        "advcli import mybox:scores --data digits",
        "advcli import photos/labels.csv --image-size 32 -o images.h5",
    ),
    "export": ("advcli export model.safetensors", "advcli export adversarial.h5 -o adversarial.pt"),
    "methods": ("advcli methods attacks --find l2", "advcli methods architectures datasets"),
}
