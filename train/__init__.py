"""Training and evaluation of StackGAN; every module here with a `main` runs as python -m train.X."""
