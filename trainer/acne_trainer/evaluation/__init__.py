"""What is done with a model's answers to labelled photographs."""
