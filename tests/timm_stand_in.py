"""A package called timm with one small network, for machines where timm is not installed."""

STAND_IN = """
from torch import nn

CONFIG = {"mean": (0.25,), "std": (0.5,), "input_size": (1, 16, 16), "fixed_input_size": True}

def create_model(name, pretrained=False, num_classes=1000, in_chans=3, img_size=(16, 16)):
    if name != "tiny.a1" or pretrained:
        raise RuntimeError(f"Unknown model ({name})")
    made = nn.Sequential(nn.Flatten(), nn.Linear(in_chans * img_size[0] * img_size[1], num_classes))
    made.default_cfg = CONFIG
    return made
"""
