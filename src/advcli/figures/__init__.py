"""Figures of images and perturbations."""
