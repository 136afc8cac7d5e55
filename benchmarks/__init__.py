"""What advcli costs and reaches, beside the libraries that a user would pick instead."""
