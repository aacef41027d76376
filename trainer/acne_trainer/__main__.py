"""`python -m acne_trainer`."""

from acne_trainer.cli.main import main

main()
