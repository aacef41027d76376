"""What a training run learns: detection, multi-label classification, a head on a frozen backbone."""
