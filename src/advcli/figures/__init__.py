"""Tables and pictures of images and perturbations."""
