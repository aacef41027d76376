"""What quantization needs: fake-quantization ranges and calibration images."""
